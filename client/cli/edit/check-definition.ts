import { SaxesParser } from 'saxes';

interface Seen {
  root: string;
  name: string;
  uuid: string;
}

/** Root element, name and UUID of a definition. @returns the fault instead when it is not well-formed. */
function seenIn(xml: string): Seen | string {
  const seen: Seen = { root: '', name: '', uuid: '' };
  const path: string[] = [];
  const faults: string[] = [];
  const parser = new SaxesParser();
  parser.on('error', (error) => faults.push(error.message));
  parser.on('opentag', ({ name }) => {
    if (path.length === 0) seen.root = name;
    path.push(name);
  });
  parser.on('closetag', () => void path.pop());
  parser.on('text', (text) => {
    const at = path.join('/');
    if (at === 'domain/name') seen.name += text;
    if (at === 'domain/uuid') seen.uuid += text;
  });
  parser.write(xml).close();
  return faults[0] === undefined ? { ...seen, name: seen.name.trim(), uuid: seen.uuid.trim().toLowerCase() } : `it is not well-formed, line ${faults[0]}`;
}

/**
 * What can be said against a changed definition without the cluster.
 * @returns the fault; undefined when there is none to be seen from here.
 */
export function faultOf(before: string, after: string): string | undefined {
  const seen = seenIn(after);
  if (typeof seen === 'string') return seen;
  if (seen.root !== 'domain') return `its root element is ${seen.root}, not domain`;
  const was = seenIn(before);
  if (typeof was === 'string') return undefined;
  if (seen.name !== was.name) return `it names the VM ${seen.name || 'nothing'} instead of ${was.name}: pvc vm rename does that`;
  if (was.uuid !== '' && seen.uuid !== was.uuid) return 'it has another UUID: that is another VM';
  return undefined;
}
