import { expect, test } from 'vitest';
import { newVmId, nodeName, randomToken, shuffled, taskId, vmId, vmName } from './ids.ts';

const uuid = 'c9b1d2a4-5b7e-4d0b-9b4a-0f3c6e5d4a3b';

test.each([
  ['vm id', vmId, [uuid], [uuid.toUpperCase(), uuid.slice(1), `${uuid}\n`, '']],
  ['vm name', vmName, ['a', 'web-1.example_x', 'x'.repeat(63)], ['', '-a', '.', '..', 'a/b', 'a b', 'a\n', 'ä', 'x'.repeat(64)]],
  ['node name', nodeName, ['hv1', 'a-b', 'x'.repeat(63)], ['', '-a', 'a-', 'a.b', 'a_b', 'hv1\n', 'x'.repeat(64)]],
  ['task id', taskId, ['flush-hv1-2', 'flush-HV1-2'], ['', 'a/b', 'a.b', 'a\n', 'x'.repeat(97)]],
] as const)('a %s is accepted and refused by its rule', (_what, schema, good, bad) => {
  for (const text of good) expect(schema.safeParse(text).success).toBe(true);
  for (const text of bad) expect(schema.safeParse(text).success).toBe(false);
});

test('new ids satisfy their own rule and differ', () => {
  expect(vmId.safeParse(newVmId()).success).toBe(true);
  expect(newVmId()).not.toBe(newVmId());
  expect(randomToken(16)).toMatch(/^[0-9a-f]{32}$/u);
});

test('shuffling keeps every item, and each may come first', () => {
  const hosts = ['a', 'b', 'c'];
  const orders = Array.from({ length: 200 }, () => shuffled(hosts));
  for (const order of orders) expect([...order].sort()).toEqual(hosts);
  expect(new Set(orders.map(([first]) => first))).toEqual(new Set(hosts));
  expect(hosts).toEqual(['a', 'b', 'c']);
});
