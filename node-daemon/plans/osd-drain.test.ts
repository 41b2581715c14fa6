import { expect, test } from 'vitest';
import { osdId } from '../../common/schema/osd.ts';
import type { OsdDrain } from '../drivers/osd-cluster.ts';
import { drainView, remembered, type DrainMemory } from './osd-drain.ts';

const [ONE, TWO] = [osdId.parse(1), osdId.parse(2)];

/** What is seen in looks a second apart, and the rounds and the standstill after each. */
function looks(...seen: (Partial<OsdDrain> & { isOut?: boolean })[]): { rounds: number; stalledMs: number }[] {
  let memory: DrainMemory | undefined;
  return seen.map(({ isOut = true, ...given }, at) => {
    const drain: OsdDrain = { safe: true, groups: 0, moving: false, others: 2, reports: new Map(), ...given };
    memory = remembered(memory, { drain, isOut, nowMs: at * 1_000 });
    const { rounds, stalledMs } = drainView(drain, memory, at * 1_000);
    return { rounds, stalledMs };
  });
}

const rounds = (...seen: Parameters<typeof looks>): number[] => looks(...seen).map((look) => look.rounds);
const reports = (one: number | null, two: number | null): Pick<OsdDrain, 'reports'> => ({ reports: new Map([[ONE, one], [TWO, two]]) });

test('reports count from the look that found it safe, and those of the slowest OSD', () => {
  expect(rounds(reports(10, 20), reports(11, 20), reports(12, 21), reports(13, 22))).toEqual([0, 0, 1, 2]);
});

test('an OSD that has not reported at all holds it up', () => {
  expect(rounds(reports(10, null), reports(15, null), reports(16, 7), reports(17, 8))).toEqual([0, 0, 0, 1]);
});

test('an OSD that went needs not report any more, and one that came has to', () => {
  expect(rounds(reports(10, 20), { reports: new Map([[ONE, 12]]) })).toEqual([0, 2]);
  expect(rounds({ reports: new Map([[ONE, 10]]) }, reports(12, 5), reports(13, 7))).toEqual([0, 0, 2]);
});

test('an answer that was not safe, or of when the OSD was in, begins anew', () => {
  expect(rounds(reports(10, 20), { safe: false }, reports(15, 25), reports(16, 26))).toEqual([0, 0, 0, 1]);
  expect(rounds({ ...reports(10, 20), isOut: false }, reports(15, 25), reports(16, 26))).toEqual([0, 0, 1]);
});

test('it stands still while nothing moves and nothing leaves', () => {
  const left = (groups: number, given: Partial<OsdDrain> = {}): Partial<OsdDrain> => ({ safe: false, groups, ...given });
  expect(looks(left(8), left(8), left(7), left(7), left(7, { moving: true }), left(7)).map(({ stalledMs }) => stalledMs)).toEqual([0, 1_000, 0, 1_000, 0, 1_000]);
});
