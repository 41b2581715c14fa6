import { describe, expect, test } from 'vitest';
import { column } from './column.ts';
import { chosenColumns, selectRows } from './select-rows.ts';

interface Row {
  name: string;
  size: number | null;
}

const COLUMNS = [column<Row>('name', (row) => row.name), column<Row>('size', (row) => row.size, { show: (row) => `${row.size} B` }), column<Row>('extra', () => true, { extra: true })];
const ROWS: Row[] = [{ name: 'hv10', size: 2 }, { name: 'hv2', size: 10 }, { name: 'hv1', size: null }];
const names = (selection: Parameters<typeof selectRows>[2]): string[] => selectRows(COLUMNS, ROWS, selection).map(({ name }) => name);

describe('rows', () => {
  test('keep their order when none is asked for', () => expect(names({})).toEqual(['hv10', 'hv2', 'hv1']));
  test('are sorted with numbers in names as numbers, and what is not there first', () => {
    expect(names({ sort: ['name'] })).toEqual(['hv1', 'hv2', 'hv10']);
    expect(names({ sort: ['-size'] })).toEqual(['hv2', 'hv10', 'hv1']);
  });
  test('are filtered by the value or by what is shown', () => {
    expect(names({ filter: ['size=10'] })).toEqual(['hv2']);
    expect(names({ filter: ['size=10 B'] })).toEqual(['hv2']);
    expect(names({ filter: ['size=', 'name~1$'] })).toEqual(['hv1']);
    expect(names({ filter: ['size>9'] })).toEqual(['hv2']);
    expect(names({ filter: ['name!~0'] })).toEqual(['hv2', 'hv1']);
  });
  test.each(['nothing', 'none=1', 'name~('])('are not filtered by %s', (filter) => expect(() => names({ filter: [filter] })).toThrow(expect.objectContaining({ kind: 'arguments' })));
});

test('columns are those that are asked for, in that order, all, or those that are not extra', () => {
  const of = (given?: string[]): string[] => chosenColumns(COLUMNS, given).map(({ name }) => name);
  expect([of(), of(['all']), of(['extra', 'name'])]).toEqual([['name', 'size'], ['name', 'size', 'extra'], ['extra', 'name']]);
  expect(() => of(['nme'])).toThrow(expect.objectContaining({ details: ['columns: name, size, extra'] }));
});
