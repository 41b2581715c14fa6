import CliTable from 'cli-table3';
import picocolors from 'picocolors';
import { shownCell, type Column, type Tone } from './column.ts';
import { safeLine } from './safe-text.ts';

type Colours = ReturnType<typeof picocolors.createColors>;

function toned(colours: Colours, text: string, tone: Tone | undefined): string {
  switch (tone) {
    case 'good':
      return colours.green(text);
    case 'busy':
      return colours.yellow(text);
    case 'bad':
      return colours.red(text);
    case 'faint':
      return colours.dim(text);
    case undefined:
      return text;
  }
}

const NO_LINES = { top: '', 'top-mid': '', 'top-left': '', 'top-right': '', bottom: '', 'bottom-mid': '', 'bottom-left': '', 'bottom-right': '', left: '', 'left-mid': '', mid: '', 'mid-mid': '', right: '', 'right-mid': '', middle: '  ' };

function aligned(lines: readonly (readonly string[])[]): string {
  if (lines.length === 0) return '';
  const table = new CliTable({ chars: NO_LINES, style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [], compact: true } });
  table.push(...lines.map((cells) => [...cells]));
  return table.toString().split('\n').map((line) => `${line.trimEnd()}\n`).join('');
}

/** Rows below their headings, in columns that are as wide as they need to be. */
export function renderTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[], coloured: boolean): string {
  const colours = picocolors.createColors(coloured);
  const head = columns.map((one) => colours.bold(one.name.toUpperCase()));
  return aligned([head, ...rows.map((row) => columns.map((one) => toned(colours, safeLine(shownCell(one, row)), one.tone?.(row))))]);
}

/** One element: a line for each field. */
export function renderFields<Row>(fields: readonly Column<Row>[], row: Row, coloured: boolean): string {
  const colours = picocolors.createColors(coloured);
  return aligned(fields.map((one) => [colours.bold(one.name), toned(colours, safeLine(shownCell(one, row)), one.tone?.(row))]));
}

export function renderTitle(text: string, coloured: boolean): string {
  return `\n${picocolors.createColors(coloured).bold(text)}\n`;
}
