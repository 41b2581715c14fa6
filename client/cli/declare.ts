import { ClientError } from '../client-error.ts';

/** What a shell can offer for a value. */
export type Completes = 'vm' | 'node' | 'network' | 'network-acl' | 'dhcp-lease' | 'pool' | 'volume' | 'snapshot' | 'osd' | 'task' | 'connection' | 'file';

/** A value as the command line has it: a text, several, or the bare option. */
export type Raw = string | readonly string[] | true | undefined;

interface About {
  readonly about: string;
  readonly completes?: Completes | undefined;
  /** The words that it may be. */
  readonly words?: readonly string[] | undefined;
}

export interface Argument<T> extends About {
  readonly form: 'one' | 'optional' | 'many';
  /** @throws ClientError 'arguments'. */
  readonly read: (raw: Raw) => T;
}

export interface Option<T> extends About {
  /** As commander has it: `-n, --lines <n>`. */
  readonly flags: string;
  readonly isRepeated: boolean;
  readonly isNeeded: boolean;
  /** @throws ClientError 'arguments'. */
  readonly read: (raw: Raw) => T;
}

type Hints = Omit<About, 'about'>;

function textOf(raw: Raw): string {
  return typeof raw === 'string' ? raw : '';
}

function textsOf(raw: Raw): string[] {
  return raw === undefined || raw === true ? [] : typeof raw === 'string' ? [raw] : [...raw];
}

/** An argument that must be given. */
export function one(about: string, hints: Hints = {}): Argument<string> {
  return { about, form: 'one', read: textOf, ...hints };
}

export function optional(about: string, hints: Hints = {}): Argument<string | undefined> {
  return { about, form: 'optional', read: (raw) => (raw === undefined ? undefined : textOf(raw)), ...hints };
}

/** One or more. */
export function many(about: string, hints: Hints = {}): Argument<string[]> {
  return { about, form: 'many', read: textsOf, ...hints };
}

export function oneNumber(about: string, bounds: Bounds, hints: Hints = {}): Argument<number> {
  return { about, form: 'one', read: (raw) => numberOf(textOf(raw), about, bounds), ...hints };
}

export function oneWord<const W extends string>(words: readonly W[], about: string): Argument<W> {
  return { about, form: 'one', words, read: (raw) => wordOf(words, textOf(raw), about) };
}

const PLAIN = { isRepeated: false, isNeeded: false };

/** An option without a value; undefined when it is not given. */
export function flag(flags: string, about: string): Option<true | undefined> {
  return { flags, about, ...PLAIN, read: (raw) => (raw === undefined ? undefined : true) };
}

export function text(flags: string, about: string, hints: Hints = {}): Option<string | undefined> {
  return { flags, about, ...PLAIN, read: (raw) => (raw === undefined ? undefined : textOf(raw)), ...hints };
}

export function neededText(flags: string, about: string, hints: Hints = {}): Option<string> {
  return { flags, about, ...PLAIN, isNeeded: true, read: textOf, ...hints };
}

/** May be given more than once, and each time be several, joined by commas. */
export function texts(flags: string, about: string, hints: Hints = {}): Option<string[] | undefined> {
  return { flags, about: `${about}; may be repeated, or several with commas between them`, isRepeated: true, isNeeded: false, read: (raw) => (raw === undefined ? undefined : splitAll(raw)), ...hints };
}

/** As `text`, and `none` clears what is set. */
export function clearable(flags: string, about: string, hints: Hints = {}): Option<string | null | undefined> {
  return { flags, about: `${about}; none clears it`, ...PLAIN, read: (raw) => (raw === undefined ? undefined : cleared(textOf(raw))), ...hints };
}

/** As `texts`, and `none` clears what is set. */
export function clearableTexts(flags: string, about: string, hints: Hints = {}): Option<string[] | null | undefined> {
  const of = texts(flags, about, hints);
  return { ...of, about: `${of.about}; none clears it`, read: (raw) => (raw === undefined ? undefined : textsOf(raw).join() === 'none' ? null : splitAll(raw)) };
}

export function word<const W extends string>(flags: string, words: readonly W[], about: string): Option<W | undefined> {
  return { flags, about, words, ...PLAIN, read: (raw) => (raw === undefined ? undefined : wordOf(words, textOf(raw), flags)) };
}

/** As `word`, and `none` clears what is set. */
export function clearableWord<const W extends string>(flags: string, words: readonly W[], about: string): Option<W | null | undefined> {
  return { flags, about: `${about}; none clears it`, words: [...words, 'none'], ...PLAIN, read: (raw) => (raw === undefined ? undefined : raw === 'none' ? null : wordOf(words, textOf(raw), flags)) };
}

export function onOff(flags: string, about: string): Option<boolean | undefined> {
  return { flags, about, words: ['on', 'off'], ...PLAIN, read: (raw) => (raw === undefined ? undefined : wordOf(['on', 'off'], textOf(raw), flags) === 'on') };
}

export interface Bounds {
  readonly min: number;
  readonly max?: number;
}

/** A whole number. */
export function integer(flags: string, about: string, bounds: Bounds): Option<number | undefined> {
  return { flags, about, ...PLAIN, read: (raw) => (raw === undefined ? undefined : numberOf(textOf(raw), flags, bounds)) };
}

function cleared(given: string): string | null {
  return given === 'none' || given === '' ? null : given;
}

function splitAll(raw: Raw): string[] {
  return textsOf(raw).flatMap((part) => part.split(',')).filter((part) => part !== '');
}

function numberOf(given: string, what: string, { min, max }: Bounds): number {
  const value = Number(given);
  if (given.trim() !== '' && Number.isInteger(value) && value >= min && (max === undefined || value <= max)) return value;
  throw new ClientError('arguments', `${what}: must be a whole number from ${min}${max === undefined ? '' : ` to ${max}`}`, { details: [`given: ${given}`] });
}

function wordOf<W extends string>(words: readonly W[], given: string, what: string): W {
  const found = words.find((known) => known === given);
  if (found === undefined) throw new ClientError('arguments', `${what}: must be one of ${words.join(', ')}`, { details: [`given: ${given}`] });
  return found;
}
