import { FIREWALL_TABLE } from '../../common/domain/network.ts';
import type { FirewallFault } from '../drivers/firewall.ts';
import type { FirewallChange } from './firewall-diff.ts';

const NETWORK_RULE = new RegExp(`^(?:add rule inet ${FIREWALL_TABLE} (?:in|out)-\\d+|insert rule inet ${FIREWALL_TABLE} (?:in|out)-\\d+ index \\d+) (.*)$`, 'u');
const DIRECTION = / (in|out)-\d+ /u;

/** A rule's text in an error, at most. */
const RULE_SHOWN_CHARS = 120;

/** The line that nft does not take, and the change that it is of. */
export interface FaultyLine {
  readonly change: FirewallChange;
  readonly index: number;
}

/** @param linesBefore number of the document's lines before those of the changes. @returns undefined when nft names no line of theirs. */
export function findFaultyLine(changes: readonly FirewallChange[], { line }: FirewallFault, linesBefore: number): FaultyLine | undefined {
  if (line === undefined) return undefined;
  let index = line - 1 - linesBefore;
  if (index < 0) return undefined;
  for (const change of changes) {
    if (index < change.lines.length) return { change, index };
    index -= change.lines.length;
  }
  return undefined;
}

/** What is wrong, with the rule of the network that it is about. */
export function describeFault({ change, index }: FaultyLine, { message }: FirewallFault): string {
  const line = change.lines[index] ?? '';
  const rule = NETWORK_RULE.exec(line)?.[1];
  if (rule === undefined) return message;
  return `${DIRECTION.exec(line)?.[1] ?? ''} rule "${rule.slice(0, RULE_SHOWN_CHARS)}": ${message}`;
}

/** The change's lines without the rule of a network that the fault is about; undefined when the line is something else. */
export function withoutRule({ change, index }: FaultyLine): string[] | undefined {
  if (!NETWORK_RULE.test(change.lines[index] ?? '')) return undefined;
  return change.lines.filter((_, at) => at !== index);
}
