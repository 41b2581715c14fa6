import { ClientError } from '../../client-error.ts';
import { shownCell, type Cell, type Column } from './column.ts';

/** What `--columns`, `--sort` and `--filter` say. */
export interface Selection {
  readonly columns?: readonly string[] | undefined;
  /** Names; `-name` for falling order. */
  readonly sort?: readonly string[] | undefined;
  /** `name=value`, `name!=value`, `name~regex`, `name!~regex`, `name<value`, `name>value`; all must hold. */
  readonly filter?: readonly string[] | undefined;
}

/** The columns that are asked for, in that order; those that are not extra when none are. @throws ClientError 'arguments'. */
export function chosenColumns<Row>(columns: readonly Column<Row>[], names: readonly string[] | undefined): readonly Column<Row>[] {
  if (names === undefined) return columns.filter((one) => one.extra !== true);
  if (names.length === 1 && names[0] === 'all') return columns;
  return names.map((name) => columnOf(columns, name));
}

/** The rows that are asked for, in the order that is asked for. @throws ClientError 'arguments'. */
export function selectRows<Row>(columns: readonly Column<Row>[], rows: readonly Row[], { sort, filter }: Selection): readonly Row[] {
  const tests = (filter ?? []).map((text) => testOf(columns, text));
  const kept = tests.length === 0 ? [...rows] : rows.filter((row) => tests.every((test) => test(row)));
  const orders = (sort ?? []).map((name) => orderOf(columns, name));
  return orders.length === 0 ? kept : kept.sort((a, b) => orders.reduce((found, order) => (found === 0 ? order(a, b) : found), 0));
}

function columnOf<Row>(columns: readonly Column<Row>[], name: string): Column<Row> {
  const found = columns.find((one) => one.name === name);
  if (found === undefined) throw new ClientError('arguments', `there is no column ${name}`, { details: [`columns: ${columns.map((one) => one.name).join(', ')}`] });
  return found;
}

const FILTER = /^([\w-]+)(!=|!~|=|~|<|>)(.*)$/su;

function testOf<Row>(columns: readonly Column<Row>[], text: string): (row: Row) => boolean {
  const [, name = '', operator = '', wanted = ''] = FILTER.exec(text) ?? [];
  if (operator === '') throw new ClientError('arguments', `${text} is no filter`, { details: ['a filter is COLUMN=VALUE, with =, !=, ~, !~, < or >'] });
  const one = columnOf(columns, name);
  const isSame = (row: Row): boolean => String(one.value(row) ?? '') === wanted || shownCell(one, row) === wanted;
  switch (operator) {
    case '=':
      return isSame;
    case '!=':
      return (row) => !isSame(row);
    case '~':
    case '!~': {
      const pattern = patternOf(wanted);
      return (row) => pattern.test(shownCell(one, row)) === (operator === '~');
    }
    default: {
      const limit = Number.isNaN(Number(wanted)) ? wanted : Number(wanted);
      return (row) => (operator === '<' ? compareCells(one.value(row), limit) < 0 : compareCells(one.value(row), limit) > 0);
    }
  }
}

function patternOf(text: string): RegExp {
  try {
    return new RegExp(text, 'u');
  } catch (cause) {
    throw new ClientError('arguments', `${text} is no regular expression`, { cause });
  }
}

function orderOf<Row>(columns: readonly Column<Row>[], text: string): (a: Row, b: Row) => number {
  const falls = text.startsWith('-');
  const one = columnOf(columns, falls ? text.slice(1) : text);
  return (a, b) => compareCells(one.value(a), one.value(b)) * (falls ? -1 : 1);
}

/** Numbers by value, texts as people sort them (hv2 before hv10), what is not there first. */
function compareCells(a: Cell, b: Cell): number {
  if (a === null || b === null) return Number(b === null) - Number(a === null);
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  return String(a).localeCompare(String(b), 'en', { numeric: true });
}
