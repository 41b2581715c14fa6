import { ClientError } from '../client-error.ts';
import type { Context } from './context.ts';
import type { Argument, Option, Raw } from './declare.ts';
import type { Column } from './output/column.ts';
import type { Section } from './output/render.ts';

export interface Example {
  /** The whole command line. */
  readonly line: string;
  readonly about: string;
}

/** One command as commander, the completion and the manual read it. */
export interface Verb {
  readonly name: string;
  readonly about: string;
  /** More for its own help and the manual: sentences. */
  readonly detail: string | undefined;
  readonly arguments: Readonly<Record<string, Argument<unknown>>>;
  readonly options: Readonly<Record<string, Option<unknown>>>;
  readonly examples: readonly Example[];
  readonly prints: 'list' | 'item' | 'text' | 'message';
  /** Names of what `--columns` can ask for. */
  readonly columns: readonly string[];
  /** Asks first, and has `--yes`. */
  readonly isDestructive: boolean;
  /** Can look again and again, and has `--watch`. */
  readonly watches: boolean;
  /** Waits for its end, and has `--no-wait`. */
  readonly waits: boolean;
  run(context: Context, raw: Readonly<Record<string, Raw>>): Promise<void>;
}

/** Verbs under one noun. */
export interface Group {
  readonly name: string;
  readonly about: string;
  readonly verbs: readonly Verb[];
  readonly groups?: readonly Group[];
}

export function isGroup(one: Group | Verb): one is Group {
  return 'verbs' in one;
}

export function isVerb(one: Group | Verb): one is Verb {
  return !isGroup(one);
}

interface Spec<A extends object, O extends object> {
  name: string;
  about: string;
  detail?: string;
  /** In the order of the command line. */
  arguments?: { readonly [K in keyof A]: Argument<A[K]> };
  options?: { readonly [K in keyof O]: Option<O[K]> };
  examples: readonly (readonly [line: string, about: string])[];
}

type Given<A extends object, O extends object> = A & O;

/** Prints the elements that `rows` finds. */
export function listVerb<Row, A extends object = object, O extends object = object>(
  spec: Spec<A, O> & { columns: readonly Column<Row>[]; rows(context: Context, given: Given<A, O>): Promise<readonly Row[]> },
): Verb {
  return verb(spec, { prints: 'list', watches: true, columns: spec.columns }, (context, given) => context.printList(spec.columns, () => spec.rows(context, given)));
}

/** Prints one element, its fields and then its lists. */
export function itemVerb<Item, A extends object = object, O extends object = object>(
  spec: Spec<A, O> & { fields: readonly Column<Item>[]; sections?: readonly Section<Item>[]; item(context: Context, given: Given<A, O>): Promise<Item> },
): Verb {
  const parts = { fields: spec.fields, sections: spec.sections ?? [] };
  return verb(spec, { prints: 'item', watches: true, columns: spec.fields }, (context, given) => context.printItem(parts, () => spec.item(context, given)));
}

/** Writes what it likes to standard output. */
export function textVerb<A extends object = object, O extends object = object>(spec: Spec<A, O> & { watches?: true; run(context: Context, given: Given<A, O>): Promise<void> }): Verb {
  return verb(spec, { prints: 'text', watches: spec.watches === true }, (context, given) => spec.run(context, given));
}

/** What a command did, as it is printed. */
export interface Reply {
  readonly message: string;
}

/** Changes something. `loses` tells what will be lost, a line each; it is asked for before anything is done. */
export function actVerb<A extends object = object, O extends object = object>(
  spec: Spec<A, O> & { waits?: true; loses?: (context: Context, given: Given<A, O>) => Promise<readonly string[]>; run(context: Context, given: Given<A, O>): Promise<Reply> },
): Verb {
  const { loses } = spec;
  return verb(spec, { prints: 'message', isDestructive: loses !== undefined, waits: spec.waits === true }, async (context, given) => {
    if (loses !== undefined) await context.confirm(() => loses(context, given));
    await context.printReply(await spec.run(context, given));
  });
}

interface Kind {
  prints: Verb['prints'];
  columns?: readonly { name: string }[];
  isDestructive?: boolean;
  watches?: boolean;
  waits?: boolean;
}

function verb<A extends object, O extends object>(spec: Spec<A, O>, kind: Kind, run: (context: Context, given: Given<A, O>) => Promise<void>): Verb {
  return {
    name: spec.name,
    about: spec.about,
    detail: spec.detail,
    arguments: { ...spec.arguments },
    options: { ...spec.options },
    examples: spec.examples.map(([line, about]) => ({ line, about })),
    prints: kind.prints,
    columns: (kind.columns ?? []).map((one) => one.name),
    isDestructive: kind.isDestructive ?? false,
    watches: kind.watches ?? false,
    waits: kind.waits ?? false,
    run: async (context, raw) => {
      const readers = { ...spec.arguments, ...spec.options };
      const given = readAll(readers, raw);
      if (!isWhole<Given<A, O>>(readers, given)) throw new ClientError('bug', 'a value was not read');
      await run(context, given);
    },
  };
}

function readAll(readers: Readonly<Record<string, { read(raw: Raw): unknown }>>, raw: Readonly<Record<string, Raw>>): object {
  return Object.fromEntries(Object.entries(readers).map(([name, reader]) => [name, reader.read(raw[name])]));
}

/** Each value was made by the reader of its own name, so all of them together are what the readers promise. */
function isWhole<G>(readers: object, given: object): given is G & object {
  return Object.keys(readers).every((name) => name in given);
}
