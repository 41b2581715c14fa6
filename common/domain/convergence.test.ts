import fc from 'fast-check';
import { expect, test } from 'vitest';
import { nextMaxDowntimeMs } from './convergence.ts';

const at = (pass: number) => ({ bytesTotal: 0, bytesProcessed: 0, bytesRemaining: 0, pass, elapsedMs: 0 });

test.each([
  ['the first passes are given time', 5, 300, 0, undefined],
  ['from the sixth pass on the pause doubles', 6, 300, 0, 600],
  ['not twice in one pass', 6, 600, 6, undefined],
  ['again in the next pass', 7, 600, 6, 1_200],
  ['up to the cap', 12, 6_000, 11, 10_000],
  ['and not beyond it', 13, 10_000, 12, undefined],
  ['a longer pause that was asked for is left', 13, 30_000, 12, undefined],
] as const)('%s: pass %i, %i ms, raised at pass %i', (_what, pass, maxDowntimeMs, raisedAtPass, expected) => {
  expect(nextMaxDowntimeMs(at(pass), { maxDowntimeMs, raisedAtPass })).toBe(expected);
});

test('the pause only grows, by at most a factor of two, and never beyond ten seconds', () => {
  fc.assert(
    fc.property(fc.nat(100), fc.integer({ min: 1, max: 60_000 }), fc.nat(100), (pass, maxDowntimeMs, raisedAtPass) => {
      const next = nextMaxDowntimeMs(at(pass), { maxDowntimeMs, raisedAtPass });
      if (next === undefined) return;
      expect(next).toBeGreaterThan(maxDowntimeMs);
      expect(next).toBeLessThanOrEqual(Math.min(10_000, 2 * maxDowntimeMs));
    }),
  );
});
