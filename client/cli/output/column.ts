export type Cell = string | number | boolean | null;

/** How a value looks: what needs no care, what is on its way, what a person must look at, what is not there. */
export type Tone = 'good' | 'busy' | 'bad' | 'faint';

/** One column of a list, or one line of an element. */
export interface Column<Row> {
  /** How it is asked for, and its heading. */
  readonly name: string;
  /** What is compared and filtered by. */
  readonly value: (row: Row) => Cell;
  /** For people, where the value itself would be hard to read. */
  readonly show?: (row: Row) => string;
  readonly tone?: (row: Row) => Tone | undefined;
  /** Shown only when it is asked for. */
  readonly extra?: true | undefined;
}

/** A column of the value that is found in a row. */
export function column<Row>(name: string, value: (row: Row) => Cell, more: Omit<Column<Row>, 'name' | 'value'> = {}): Column<Row> {
  return { name, value, ...more };
}

/** All columns as the fields of one element, where there is room for the extra ones. */
export function fieldsOf<Row>(columns: readonly Column<Row>[]): readonly Column<Row>[] {
  return columns.map((one) => ({ ...one, extra: undefined }));
}

/** The cell as text for people. */
export function shownCell<Row>(one: Column<Row>, row: Row): string {
  if (one.show !== undefined) return one.show(row);
  const value = one.value(row);
  if (value === null || value === '') return '-';
  return typeof value === 'boolean' ? (value ? 'yes' : 'no') : String(value);
}

/** The tone of a state by its word, in any of the API's vocabularies. */
export function toneOfState(state: string): Tone | undefined {
  if (['run', 'ready', 'start', 'up', 'in', 'primary', 'SUCCESS', 'Optimal', 'done', 'true'].includes(state)) return 'good';
  if (['fail', 'dead', 'FAILURE', 'down', 'Degraded', 'failed'].includes(state)) return 'bad';
  if (['stop', 'disable', 'secondary', 'client', 'REVOKED', 'skipped'].includes(state)) return 'faint';
  return 'busy';
}
