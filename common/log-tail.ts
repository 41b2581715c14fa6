import { gunzipSync, gzipSync } from 'node:zlib';
import { z } from 'zod';
import { AppError } from './errors.ts';
import { parseJson } from './json.ts';

/** Of the JSON text of all lines: two thousand usual ones. */
const TOTAL_MAX_BYTES = 250_000;

/** A longer line loses its end: most are shorter than 200, and a stack of calls begins with what matters. */
const LINE_MAX_CHARS = 2_000;

/** What pino writes on each line; `name`, `pid` and `hostname` say nothing to whoever asks for the log of one daemon. */
const record = z.looseObject({ time: z.string(), level: z.string(), msg: z.string(), name: z.unknown(), pid: z.unknown(), hostname: z.unknown() }).partial({ name: true, pid: true, hostname: true });

/** The end of a program's log as lines of text, in memory. The oldest lines go when there are too many, or too large ones. */
export class LogTail {
  readonly #linesMax: number;
  readonly #listeners = new Set<() => void>();
  #lines: readonly string[] = [];
  #fresh: string[] = [];
  #taken = 0;

  constructor(linesMax: number) {
    this.#linesMax = linesMax;
  }

  /** Lines taken so far, kept or not: another number means another text. */
  get taken(): number {
    return this.#taken;
  }

  /** Takes one line of the log as createLogger writes it. */
  take(json: string): void {
    this.#fresh.push(renderLogLine(json));
    this.#taken += 1;
    // Bounded between two looks as well, without measuring all lines each time.
    if (this.#fresh.length >= this.#linesMax) this.#settle();
    for (const listener of this.#listeners) listener();
  }

  /** Puts lines of an earlier run before all others. */
  resume(earlier: readonly string[]): void {
    this.#settle();
    this.#lines = lastWithin([...earlier, ...this.#lines], this.#linesMax);
  }

  /** Oldest first. */
  lines(): readonly string[] {
    this.#settle();
    return this.#lines;
  }

  /** @returns the function that ends the subscription. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #settle(): void {
    if (this.#fresh.length === 0) return;
    this.#lines = lastWithin([...this.#lines, ...this.#fresh], this.#linesMax);
    this.#fresh = [];
  }
}

/** Far beyond what is kept; nothing larger is unpacked. */
const UNPACKED_MAX_BYTES = 4_000_000;

/**
 * The lines as text for a document. Packed, since each change of a log writes all of it, and ZooKeeper keeps its last 500 writes
 * in memory (commitLogCount): a server with a heap of 192 MB ended after 250 writes of 250 kB. Lines of a log become an eighth.
 */
export function packLines(lines: readonly string[]): string {
  return gzipSync(lines.join('\n')).toString('base64');
}

/** @throws AppError 'component' when it is not what packLines makes. */
export function unpackLines(packed: string): readonly string[] {
  try {
    const text = gunzipSync(Buffer.from(packed, 'base64'), { maxOutputLength: UNPACKED_MAX_BYTES }).toString('utf8');
    return text === '' ? [] : text.split('\n');
  } catch (cause) {
    throw new AppError('component', 'the kept log cannot be unpacked', {}, { cause });
  }
}

function lastWithin(lines: readonly string[], linesMax: number): readonly string[] {
  let totalBytes = 0;
  for (let index = lines.length - 1; index >= 0; index -= 1) {
    totalBytes += Buffer.byteLength(JSON.stringify(lines[index])) + 1;
    if (totalBytes > TOTAL_MAX_BYTES || lines.length - index > linesMax) return lines.slice(index + 1);
  }
  return lines;
}

/** `time level message key=value …` of a JSON line; what is none stays as it is. Always one line, without control characters. */
export function renderLogLine(json: string): string {
  const parsed = record.safeParse(parseJson(json));
  return shorten(parsed.success ? renderRecord(parsed.data) : escapeControls(json.trimEnd()));
}

function renderRecord({ time, level, msg, name: _name, pid: _pid, hostname: _hostname, ...fields }: z.infer<typeof record>): string {
  const pairs = Object.entries(fields).map(([key, value]) => ` ${key}=${renderValue(value)}`);
  return escapeControls(`${time} ${level} ${msg}${pairs.join('')}`);
}

function renderValue(value: unknown): string {
  return typeof value === 'string' && /^[\w.:/@%+,-]+$/u.test(value) ? value : JSON.stringify(value);
}

/** Lines may be shown on terminals, and some quote what a guest or another program has said. */
function escapeControls(text: string): string {
  // eslint-disable-next-line no-control-regex -- exactly these are meant
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/gu, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

function shorten(line: string): string {
  return line.length <= LINE_MAX_CHARS ? line : `${line.slice(0, LINE_MAX_CHARS - 1)}…`;
}
