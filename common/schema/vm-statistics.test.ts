import fc from 'fast-check';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { vmFigures } from './vm-statistics.ts';

const counter = z.number().min(0);
const counters = (count: number) => z.array(counter).length(count);

/** The same in zod's own words. */
const plain = z.strictObject({
  cpuNs: counters(3),
  memory: z.record(z.string(), counter),
  disks: z.record(z.string(), counters(4)),
  interfaces: z.record(z.string(), counters(8)),
  vnc: z.strictObject({ listen: z.string(), port: z.int() }).nullable(),
});

const RIGHT = {
  cpuNs: [1, 2, 3],
  memory: { actual: 524_288, rss: 2 ** 60 },
  disks: { sda: [1, 2, 3, 4], sdb: [0, 0, 0, 0] },
  interfaces: { '52:54:00:00:00:01': [1, 2, 3, 4, 5, 6, 7, 8.5] },
  vnc: { listen: '0.0.0.0', port: 5_900 },
};

test('figures are taken over as they are', () => {
  expect(vmFigures.parse(RIGHT)).toEqual(RIGHT);
  expect(plain.parse(RIGHT)).toEqual(RIGHT);
});

test('exactly what a schema of tuples and records accepts is accepted', () => {
  const number = fc.oneof({ weight: 8, arbitrary: fc.nat() }, fc.constantFrom<unknown>(0, -1, 0.5, 1e308, Infinity, NaN, '1', null, [], {}));
  const list = (count: number): fc.Arbitrary<unknown> => fc.oneof({ weight: 4, arbitrary: fc.array(number, { minLength: count, maxLength: count }) }, fc.array(number, { maxLength: 9 }), fc.constantFrom(null, 'x', { length: count }));
  const map = (one: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> => fc.oneof({ weight: 6, arbitrary: fc.dictionary(fc.constantFrom('sda', 'actual', 'constructor', ''), one, { maxKeys: 2 }) }, fc.constantFrom(null, [], [[1, 2, 3, 4]], 5, 'x'));
  const change: fc.Arbitrary<object> = fc.oneof(
    fc.record({ cpuNs: list(3) }),
    fc.record({ memory: map(number) }),
    fc.record({ disks: map(list(4)) }),
    fc.record({ interfaces: map(list(8)) }),
    fc.constantFrom({ vnc: null }, { vnc: {} }, { vnc: { listen: 'a', port: 1.5 } }, { more: 1 }, { disks: undefined }),
  );
  let accepted = 0;
  fc.assert(
    fc.property(change, (given) => {
      const [one, other] = [vmFigures.safeParse({ ...RIGHT, ...given }).success, plain.safeParse({ ...RIGHT, ...given }).success];
      accepted += one ? 1 : 0;
      return one === other;
    }),
    { numRuns: 300 },
  );
  expect(accepted, 'both answers are given').toBeGreaterThan(30);
  expect(accepted).toBeLessThan(270);
});
