import { z } from 'zod';
import { AppError, isAppError } from '../../common/errors.ts';

/** What the OpenAPI document says of a value; travels as the schema's metadata. */
export const valueDoc = z.object({
  description: z.string(),
  required: z.boolean(),
  kind: z.enum(['text', 'flag', 'number', 'list']),
  json: z.record(z.string(), z.unknown()),
});
export type ValueDoc = z.infer<typeof valueDoc>;

/** A schema of something that is text on the wire. */
type TextSchema = z.ZodType<unknown, string>;

/** A value longer than this is none of ours; the XML has a limit of its own. */
const TEXT_MAX_CHARS = 4_096;
/** Elements of a list value. */
const LIST_MAX = 256;

/** A value that must be given. */
export function text<S extends TextSchema>(schema: S, description: string): z.ZodType<z.output<S>> {
  return reading((raw) => {
    const given = single(raw);
    if (given === undefined || given === '') throw fault('is required');
    return pass(schema, given);
  }).meta(docOf('text', true, description, schema));
}

/** A value that may be missing; empty text counts as missing. */
export function optionalText<S extends TextSchema>(schema: S, description: string): z.ZodType<z.output<S> | undefined> {
  return reading((raw) => {
    const given = single(raw);
    return given === undefined || given === '' ? undefined : pass(schema, given);
  }).meta(docOf('text', false, description, schema));
}

/** A value that may be missing (undefined: leave as it is) or emptied (null): by empty text, `none` or JSON null. */
export function clearableText<S extends TextSchema>(schema: S, description: string): z.ZodType<z.output<S> | null | undefined> {
  return reading((raw) => {
    const given = single(raw);
    if (given === undefined) return isGiven(raw) ? null : undefined;
    return given === '' || given.toLowerCase() === 'none' ? null : pass(schema, given);
  }).meta(docOf('text', false, description, schema));
}

/** A whole number; text of digits counts. */
export function optionalInteger(limits: { min: number; max: number }, description: string): z.ZodType<number | undefined> {
  const schema = z.int().min(limits.min).max(limits.max);
  return reading((raw) => integerOf(schema, raw)).meta(docOf('number', false, description, schema));
}

/** A whole number that must be given. */
export function integer(limits: { min: number; max: number }, description: string): z.ZodType<number> {
  const schema = z.int().min(limits.min).max(limits.max);
  return reading((raw) => {
    const given = integerOf(schema, raw);
    if (given === undefined) throw fault('is required');
    return given;
  }).meta(docOf('number', true, description, schema));
}

function integerOf(schema: z.ZodType<number>, raw: unknown): number | undefined {
  const given = single(raw);
  if (given === undefined || given === '') return undefined;
  if (!/^-?\d{1,16}$/u.test(given)) throw fault('must be a whole number');
  return pass(schema, Number(given));
}

const TRUE_WORDS = ['', 'true', 'yes', 'y', 'on', 't', '1'];
const FALSE_WORDS = ['false', 'no', 'n', 'off', 'f', '0'];

/** On when present, with or without a word for true; off when missing or with a word for false. */
export function flag(description: string): z.ZodType<boolean> {
  return reading((raw) => flagOf(raw) ?? false).meta(flagDoc(description));
}

/** A flag that leaves things as they are when it is missing. */
export function optionalFlag(description: string): z.ZodType<boolean | undefined> {
  return reading(flagOf).meta(flagDoc(description));
}

function flagOf(raw: unknown): boolean | undefined {
  const given = single(raw)?.toLowerCase();
  if (given === undefined) return undefined;
  if (TRUE_WORDS.includes(given)) return true;
  if (FALSE_WORDS.includes(given)) return false;
  throw fault('is a flag: give it alone, or with True or False');
}

function flagDoc(description: string): ValueDoc {
  return { description, required: false, kind: 'flag', json: { type: 'boolean' } };
}

/** Zero or more of something: repeated, joined by commas, or a JSON array. */
export function list<S extends TextSchema>(schema: S, description: string): z.ZodType<z.output<S>[]> {
  return reading((raw) => elements(schema, raw)).meta(docOf('list', false, description, schema));
}

/** A list that may be missing (undefined: leave as it is) or emptied (null): by empty text, `none` or JSON null. */
export function clearableList<S extends TextSchema>(schema: S, description: string): z.ZodType<z.output<S>[] | null | undefined> {
  return reading((raw) => {
    if (!isGiven(raw)) return undefined;
    const texts = textsOf(raw).filter((given) => given !== '' && given.toLowerCase() !== 'none');
    return texts.length === 0 ? null : elements(schema, texts);
  }).meta(docOf('list', false, description, schema));
}

function elements<S extends TextSchema>(schema: S, raw: unknown): z.output<S>[] {
  const names = textsOf(raw)
    .flatMap((given) => given.split(','))
    .map((part) => part.trim())
    .filter((part) => part !== '');
  if (names.length > LIST_MAX) throw fault(`has more than ${LIST_MAX} elements`);
  return names.map((name) => pass(schema, name));
}

function docOf(kind: ValueDoc['kind'], required: boolean, description: string, schema: z.ZodType): ValueDoc {
  const json = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  return { description, required, kind, json: kind === 'list' ? { type: 'array', items: plain(json) } : plain(json) };
}

function plain(json: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(json).filter(([key]) => key !== '$schema' && !key.startsWith('~')));
}

/** The one text that was given; undefined for none. Giving it twice with different texts is refused, not guessed at. */
function single(raw: unknown): string | undefined {
  const texts = new Set(textsOf(raw));
  if (texts.size > 1) throw fault('is given more than once, with different values');
  return [...texts][0];
}

const scalar = z.union([z.string(), z.number(), z.boolean()]).transform(String);
const given = z.union([scalar.transform((one) => [one]), z.array(scalar).max(LIST_MAX), z.null().transform(() => [])]);

function textsOf(raw: unknown): string[] {
  const texts = z.array(given).default([]).safeParse(raw);
  if (!texts.success) throw fault('must be text, a number, a truth value, or a list of these');
  return texts.data.flat();
}

/** Something was given, be it null. */
function isGiven(raw: unknown): boolean {
  return Array.isArray(raw) && raw.length > 0;
}

function pass<S extends z.ZodType>(schema: S, value: unknown): z.output<S> {
  const result = schema.safeParse(value);
  if (!result.success) throw fault(result.error.issues[0]?.message ?? 'is not valid');
  return result.data;
}

function fault(message: string): AppError {
  return new AppError('invalid', message);
}

/** A schema that reads all that was given for one value; a fault becomes an issue. */
function reading<T>(read: (raw: unknown) => T): z.ZodType<T> {
  return z.unknown().transform((raw, context): T => {
    try {
      return read(raw);
    } catch (error) {
      if (!isAppError(error, 'invalid')) throw error;
      context.addIssue({ code: 'custom', message: error.message });
      return z.NEVER;
    }
  });
}

/** Free text without control characters except line feed and tab. */
export function freeText(maxChars = TEXT_MAX_CHARS): z.ZodType<string, string> {
  // eslint-disable-next-line no-control-regex -- these are what is refused
  const printable = /^[^\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F]*$/u;
  return z.string().max(maxChars, `must have at most ${maxChars} characters`).regex(printable, 'must not have control characters');
}
