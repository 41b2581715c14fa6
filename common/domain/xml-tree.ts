import { SaxesParser } from 'saxes';
import { AppError } from '../errors.ts';

/** Elements within each other, at most; libvirt's own have under ten. A DOM is built in quadratic time beyond it. */
const DEPTH_MAX = 64;

/** One element of a document that is only read. */
export class XmlElement {
  readonly tagName: string;
  /** Its namespace; empty for none. */
  readonly uri: string;
  readonly elements: XmlElement[] = [];
  readonly #attributes: ReadonlyMap<string, string>;
  readonly #content: (string | XmlElement)[] = [];

  constructor(tagName: string, uri: string, attributes: ReadonlyMap<string, string>) {
    this.tagName = tagName;
    this.uri = uri;
    this.#attributes = attributes;
  }

  /** All text inside, of elements inside too. */
  get textContent(): string {
    return this.#content.map((part) => (typeof part === 'string' ? part : part.textContent)).join('');
  }

  getAttribute(name: string): string | null {
    return this.#attributes.get(name) ?? null;
  }

  add(part: string | XmlElement): void {
    this.#content.push(part);
    if (typeof part !== 'string') this.elements.push(part);
  }
}

/**
 * Reads a document once, in linear time, and stops at the first fault: well-formed, without DOCTYPE, not too deep.
 * @returns the root element.
 * @throws AppError 'invalid'.
 */
export function readXmlTree(xml: string): XmlElement {
  const parser = new SaxesParser({ xmlns: true });
  const top = new XmlElement('', '', new Map());
  const open: XmlElement[] = [top];
  parser.on('error', (error) => {
    throw invalid('the domain definition is not well-formed XML', error.message);
  });
  parser.on('doctype', () => {
    throw invalid('the domain definition must not have a DOCTYPE');
  });
  parser.on('opentagstart', () => {
    if (open.length > DEPTH_MAX) throw invalid('the elements of the domain definition are nested too deeply', `line ${parser.line}`);
  });
  parser.on('opentag', (tag) => {
    const attributes = new Map(Object.entries(tag.attributes).map(([name, attribute]) => [name, attribute.value]));
    const element = new XmlElement(tag.name, tag.uri, attributes);
    open.at(-1)?.add(element);
    open.push(element);
  });
  parser.on('closetag', () => void open.pop());
  parser.on('text', (text) => open.at(-1)?.add(text));
  parser.on('cdata', (text) => open.at(-1)?.add(text));
  parser.write(xml).close();
  const root = top.elements[0];
  if (root === undefined) throw invalid('the domain definition is not well-formed XML', 'it has no root element');
  return root;
}

function invalid(message: string, where: string | undefined = undefined): AppError {
  return new AppError('invalid', message, where === undefined ? {} : { where });
}
