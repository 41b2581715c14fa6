import { expect, test } from 'vitest';
import { column } from './column.ts';
import { renderItem, renderList, section, type Format } from './render.ts';
import { safeText } from './safe-text.ts';
import { showBytes, showSeconds } from './units.ts';

const COLUMNS = [column<{ name: string; up: boolean }>('name', (row) => row.name), column<{ name: string; up: boolean }>('up', (row) => row.up, { tone: (row) => (row.up ? 'good' : 'bad') })];
const ROWS = [{ name: 'a\tb', up: true }, { name: 'long name', up: false }];
const list = (format: Format, more: { columns?: string[]; coloured?: boolean } = {}): Promise<string> => renderList(COLUMNS, ROWS, { format, coloured: false, ...more });

test('a table has headings, and columns as wide as they need to be', async () => {
  expect(await list('table')).toBe('NAME       UP\na b        yes\nlong name  no\n');
  expect(await list('table', { coloured: true })).toContain('\u001b[31mno\u001b[39m');
});

test('raw lines have as many fields as columns, whatever is in them', async () => {
  expect(await list('raw')).toBe('a b\ttrue\nlong name\tfalse\n');
});

test('documents are whole, or what is asked for', async () => {
  expect(JSON.parse(await list('json'))).toEqual(ROWS);
  expect(JSON.parse(await list('json', { columns: ['up'] }))).toEqual([{ up: true }, { up: false }]);
  expect(await list('yaml', { columns: ['up'] })).toBe('- up: true\n- up: false\n');
});

test('an element has its fields and its lists', async () => {
  const parts = { fields: COLUMNS, sections: [section<(typeof ROWS)[number], string>('Letters', [column('letter', (one) => one)], (row) => [...row.name].slice(0, 1))] };
  const item = { name: 'x', up: true };
  expect(await renderItem(parts, item, { format: 'table', coloured: false })).toBe('name  x\nup    yes\n\nLetters\nLETTER\nx\n');
  expect(await renderItem(parts, item, { format: 'raw', coloured: false })).toBe('name\tx\nup\ttrue\n');
  expect(await renderItem(parts, item, { format: 'raw', coloured: false, columns: ['name'] })).toBe('x\n');
});

test('text of the cluster cannot command a terminal', () => {
  expect(safeText('a\u001b]0;title\u0007\r\nb\u009b1m\n')).toBe('a\\x1b]0;title\\x07\nb\\x9b1m\n');
});

test('sizes and times are for people', () => {
  expect([0, 999, 1_000, 1_024 ** 2 * 20.5, 1_024 ** 4].map(showBytes)).toEqual(['0 B', '999 B', '0.98 KiB', '20.5 MiB', '1.00 TiB']);
  expect([0.4, 59, 61, 7_800].map(showSeconds)).toEqual(['0s', '59s', '1m01s', '2h10m']);
});
