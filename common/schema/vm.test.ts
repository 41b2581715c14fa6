import { expect, test } from 'vitest';
import { aStatus, aVm } from '../../test/support/builders.ts';
import { vmSpec } from './vm.ts';
import { vmStatus } from './vm-status.ts';

function without(doc: object, field: string): object {
  return Object.fromEntries(Object.entries(doc).filter(([name]) => name !== field));
}

test('documents of a VM that were written before disks could grow are read, and no disk has grown', () => {
  const spec = without(aVm(), 'growth');
  const status = without(aStatus(), 'growthGeneration');
  expect(vmSpec.parse(spec)).toEqual({ ...spec, growth: { sizes: {}, generation: 0 } });
  expect(vmStatus.parse(status)).toEqual({ ...status, growthGeneration: 0 });
});

test('a field that a document must have is not made up', () => {
  expect(vmSpec.safeParse(without(aVm(), 'power')).success).toBe(false);
});
