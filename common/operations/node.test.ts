import { expect, test } from 'vitest';
import { aNode } from '../../test/support/builders.ts';
import { task } from '../schema/task.ts';
import { newDomainsTask } from './node.ts';

function idOf(name: string, wish: 'ready' | 'flush', generation: number): string {
  return task.parse(newDomainsTask(aNode(name, { wish, generation }).spec, { requestedBy: 'test', nowMs: 0 })).id;
}

test('no two nodes, wishes or generations share a task', () => {
  const longest = ['a', 'b'].map((first) => `${first}${'x'.repeat(62)}`);
  const names = ['hv1', 'HV1', 'hV1', 'hv', 'hv1-1', ...longest];
  const generations = [1, 2, 11, Number.MAX_SAFE_INTEGER];
  const ids = names.flatMap((name) => generations.flatMap((generation) => [idOf(name, 'flush', generation), idOf(name, 'ready', generation)]));
  expect(new Set(ids).size).toBe(names.length * generations.length * 2);
});
