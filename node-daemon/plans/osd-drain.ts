import type { OsdId } from '../../common/schema/osd.ts';
import type { OsdDrain } from '../drivers/osd-cluster.ts';
import type { OsdDrainView } from './osd.ts';

/** What is remembered of a drain from one look to the next. */
export interface DrainMemory {
  readonly groups: number;
  /** On the monotonic clock, when something last moved. */
  readonly changedMs: number;
  /** The reports that there were when it became safe, of each other OSD when it was first seen since; undefined while it is not. */
  readonly safeSince: ReadonlyMap<OsdId, number> | undefined;
}

/** What is remembered after a look. */
export function remembered(before: DrainMemory | undefined, now: { drain: OsdDrain; isOut: boolean; nowMs: number }): DrainMemory {
  const { drain, isOut, nowMs } = now;
  const isChange = before === undefined || !isOut || drain.moving || drain.safe || drain.groups < before.groups;
  return {
    groups: drain.groups,
    changedMs: isChange ? nowMs : before.changedMs,
    safeSince: drain.safe && isOut ? firstReports(before?.safeSince, drain.reports) : undefined,
  };
}

/** What the plan decides from. */
export function drainView(drain: OsdDrain, memory: DrainMemory, nowMs: number): OsdDrainView {
  const { safe, groups, moving, others, reports } = drain;
  return { safe, groups, moving, others, rounds: roundsSince(memory.safeSince, reports), stalledMs: nowMs - memory.changedMs };
}

function firstReports(before: ReadonlyMap<OsdId, number> | undefined, reports: OsdDrain['reports']): ReadonlyMap<OsdId, number> {
  const known = [...reports].flatMap(([id, number]) => (number === null ? [] : [[id, number] as const]));
  return new Map([...known, ...(before ?? [])]);
}

/** Of the OSD that has sent the fewest; one that has never sent any counts too. */
function roundsSince(since: ReadonlyMap<OsdId, number> | undefined, reports: OsdDrain['reports']): number {
  if (since === undefined) return 0;
  return Math.min(...Array.from(reports, ([id, number]) => (number === null ? 0 : number - (since.get(id) ?? number))));
}
