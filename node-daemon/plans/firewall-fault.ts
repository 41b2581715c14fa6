import { FIREWALL_TABLE } from '../../common/domain/network.ts';
import type { FirewallFault } from '../drivers/firewall.ts';

const NETWORK_RULE = new RegExp(`^add rule inet ${FIREWALL_TABLE} (in|out)-\\d+ (.*)$`, 'u');

/** A rule's text in an error, at most. */
const RULE_SHOWN_CHARS = 120;

/** What is wrong, with the rule that it is about. `before` is the number of the document's lines before `lines`. */
export function describeFault(lines: readonly string[], fault: FirewallFault, before: number): string {
  const [, direction, rule] = NETWORK_RULE.exec(lineOf(lines, fault, before) ?? '') ?? [];
  if (direction === undefined || rule === undefined) return fault.message;
  return `${direction} rule "${rule.replace(/^counter /u, '').slice(0, RULE_SHOWN_CHARS)}": ${fault.message}`;
}

/** The lines without the rule that the fault is about; undefined when it is about something that cannot be left out. */
export function withoutFault(lines: readonly string[], fault: FirewallFault, before: number): string[] | undefined {
  const line = lineOf(lines, fault, before);
  if (line === undefined || !NETWORK_RULE.test(line)) return undefined;
  return lines.filter((_, at) => at !== indexOf(fault, before));
}

function lineOf(lines: readonly string[], fault: FirewallFault, before: number): string | undefined {
  return lines[indexOf(fault, before)];
}

function indexOf({ line }: FirewallFault, before: number): number {
  return line === undefined ? -1 : line - 1 - before;
}
