import type { Cell, Column } from './column.ts';
import { chosenColumns, selectRows, type Selection } from './select-rows.ts';

export const FORMATS = ['table', 'json', 'yaml', 'raw'] as const;
export type Format = (typeof FORMATS)[number];

export interface Look extends Selection {
  readonly format: Format;
  readonly coloured: boolean;
}

/** A list within an element, such as the disks of a VM. */
export interface Section<Item> {
  readonly title: string;
  render(item: Item, coloured: boolean): Promise<string>;
}

/** A section with its own columns; left out when it has no rows. */
export function section<Item, Row>(title: string, columns: readonly Column<Row>[], rows: (item: Item) => readonly Row[]): Section<Item> {
  return {
    title,
    render: async (item, coloured) => {
      const found = rows(item);
      if (found.length === 0) return '';
      const { renderTable, renderTitle } = await import('./table.ts');
      return renderTitle(title, coloured) + renderTable(columns.filter((one) => one.extra !== true), found, coloured);
    },
  };
}

/** A list as text. @throws ClientError 'arguments' for columns that it does not have. */
export async function renderList<Row>(columns: readonly Column<Row>[], rows: readonly Row[], look: Look): Promise<string> {
  const chosen = chosenColumns(columns, look.columns);
  const selected = selectRows(columns, rows, look);
  switch (look.format) {
    case 'table':
      return (await import('./table.ts')).renderTable(chosen, selected, look.coloured);
    case 'raw':
      return selected.map((row) => rawLine(chosen.map((one) => one.value(row)))).join('');
    case 'json':
    case 'yaml':
      return renderDocument(look.columns === undefined ? selected : selected.map((row) => picked(chosen, row)), look.format);
  }
}

/** One element as text. @throws ClientError 'arguments' for fields that it does not have. */
export async function renderItem<Item>(parts: { fields: readonly Column<Item>[]; sections: readonly Section<Item>[] }, item: Item, look: Look): Promise<string> {
  const chosen = chosenColumns(parts.fields, look.columns);
  switch (look.format) {
    case 'table': {
      const text = (await import('./table.ts')).renderFields(chosen, item, look.coloured);
      const sections = look.columns === undefined ? await Promise.all(parts.sections.map((one) => one.render(item, look.coloured))) : [];
      return [text, ...sections].join('');
    }
    case 'raw':
      return chosen.map((one) => rawLine(look.columns === undefined ? [one.name, one.value(item)] : [one.value(item)])).join('');
    case 'json':
    case 'yaml':
      return renderDocument(look.columns === undefined ? item : picked(chosen, item), look.format);
  }
}

export async function renderDocument(document: unknown, format: 'json' | 'yaml'): Promise<string> {
  if (format === 'json') return `${JSON.stringify(document, null, 2)}\n`;
  return (await import('./yaml-text.ts')).yamlText(document);
}

function picked<Row>(columns: readonly Column<Row>[], row: Row): Record<string, Cell> {
  return Object.fromEntries(columns.map((one) => [one.name, one.value(row)]));
}

/** Values between tabs; a tab or a newline in a value becomes a space, so that lines and fields stay what they are. */
function rawLine(cells: readonly Cell[]): string {
  return `${cells.map((cell) => String(cell ?? '').replaceAll(/[\t\r\n]/gu, ' ')).join('\t')}\n`;
}
