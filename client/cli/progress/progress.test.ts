import { describe, expect, test } from 'vitest';
import type { TaskView } from '../../../common/view/task.ts';
import type { VmView } from '../../../common/view/vm.ts';
import { newLines } from './follow-lines.ts';
import { amountOf, tenths } from './migration-display.ts';
import { changedLines } from './task-lines.ts';

const MIB = 1_024 * 1_024;

describe('a migration', () => {
  test('is told with bytes, rate and remaining time', () => {
    expect(amountOf({ bytesTotal: 100 * MIB, bytesProcessed: 60 * MIB, bytesRemaining: 50 * MIB, pass: 2, elapsedMs: 2_000 })).toEqual({ part: 0.5, text: '50.0 MiB of 100 MiB, 30.0 MiB/s, 2s left' });
  });
  test('that has moved nothing yet has no rate', () => {
    expect(amountOf(null)).toEqual({ part: 0, text: 'begins' });
    expect(amountOf({ bytesTotal: MIB, bytesProcessed: 0, bytesRemaining: MIB, pass: 1, elapsedMs: 0 })).toEqual({ part: 0, text: '0 B of 1.00 MiB' });
  });
  test('whose rest grows beyond the whole is at its beginning', () => {
    expect(amountOf({ bytesTotal: MIB, bytesProcessed: MIB, bytesRemaining: 2 * MIB, pass: 1, elapsedMs: 1_000 }).part).toBe(0);
  });
  test('has a line for each tenth in a pipe, from when its target is known', () => {
    const written: string[] = [];
    const display = tenths((line) => void written.push(line), 'hv1');
    const seen = (migration_target: string | null, part: number | null): void => {
      const migration_progress = part === null ? null : { bytesTotal: 100 * MIB, bytesProcessed: 0, bytesRemaining: (100 - part) * MIB, pass: 1, elapsedMs: 0 };
      display.show({ name: 'web1', node: 'hv1', migration_target, migration_progress, settled: false } as VmView);
    };
    seen(null, null);
    seen('hv2', null);
    seen('hv2', 5);
    seen('hv2', 31);
    seen('hv2', 34);
    expect(written).toEqual(['web1 hv1 → hv2 0% begins', 'web1 hv1 → hv2 31% 31.0 MiB of 100 MiB']);
  });
});

describe('lines that are new', () => {
  test.each([
    { what: 'all, when nothing was known', before: [], now: ['a'], found: ['a'] },
    { what: 'none, when nothing came', before: ['a', 'b'], now: ['a', 'b'], found: [] },
    { what: 'those at the end', before: ['a', 'b'], now: ['a', 'b', 'c'], found: ['c'] },
    { what: 'those after a part that is known, when more of the past is seen', before: ['b', 'c'], now: ['a', 'b', 'c', 'd'], found: ['d'] },
    { what: 'those after what is left, when the oldest are gone', before: ['a', 'b', 'c'], now: ['c', 'd'], found: ['d'] },
    { what: 'none of lines that are the same', before: ['x', 'x'], now: ['x', 'x'], found: [] },
    { what: 'all, when nothing is left of what was known', before: ['a'], now: ['b', 'c'], found: ['b', 'c'] },
  ])('are $what', ({ before, now, found }) => expect(newLines(before, now)).toEqual(found));
});

test('in a pipe a step of a task is told when it begins and when it ends, once', () => {
  const written: string[] = [];
  const display = changedLines((line) => void written.push(line), false);
  const seen = (...steps: TaskView['steps']): void => display.show({ steps } as TaskView);
  seen({ name: 'web1', state: 'waiting', message: null });
  seen({ name: 'web1', state: 'running', message: 'to hv2' }, { name: 'web2', state: 'waiting', message: null });
  seen({ name: 'web1', state: 'running', message: 'to hv2' }, { name: 'web2', state: 'waiting', message: null });
  seen({ name: 'web1', state: 'done', message: null }, { name: 'web2', state: 'failed', message: 'fits nowhere' });
  expect(written).toEqual(['… web1 running: to hv2', '✔ web1 done', '✘ web2 failed: fits nowhere']);
});
