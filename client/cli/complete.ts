import type { Option as CommanderOption } from 'commander';
import type { Argument, Completes, Option } from './declare.ts';
import { NOUNS } from './nouns.ts';
import { commonOptions } from './program.ts';
import type { Terminal } from './terminal.ts';
import { isGroup, type Group, type Verb } from './verb.ts';

/** One thing that the word can become. */
export interface Candidate {
  readonly word: string;
  readonly about: string;
}

/** Names of files, which the shell knows better. */
export const FILES: Candidate = { word: ':files', about: '' };

/** Somebody waits with the finger on the key. */
const LIMIT_MS = 2_000;

type Names = (kind: Completes, before: readonly string[]) => Promise<readonly Candidate[]>;

/** What can stand at the last of the words, which may be empty or half a word. */
export async function complete(words: readonly string[], names: Names): Promise<readonly Candidate[]> {
  const last = words.at(-1) ?? '';
  const before = words.slice(0, -1);
  const found = await candidates(before, last, names);
  return found.filter(({ word }) => word.startsWith(last) || word === FILES.word);
}

async function candidates(before: readonly string[], last: string, names: Names): Promise<readonly Candidate[]> {
  if (CONNECTION.includes(before.at(-1) ?? '')) return names('connection', []);
  const plain = withoutConnection(before);
  const noun = NOUNS.find(({ name }) => name === plain[0]);
  if (noun === undefined) return plain.length === 0 ? [...NOUNS.map(({ name, about }) => ({ word: name, about })), { word: 'help', about: 'show the help of a command' }] : [];
  const loaded = await noun.load();
  return isGroup(loaded) ? ofGroup(loaded, plain.slice(1), last, names) : ofVerb(loaded, plain.slice(1), last, names);
}

const CONNECTION = ['-c', '--connection'];

function withoutConnection(words: readonly string[]): string[] {
  return words.filter((word, at) => !CONNECTION.includes(word) && !CONNECTION.includes(words[at - 1] ?? ''));
}

function ofGroup(group: Group, rest: readonly string[], last: string, names: Names): Promise<readonly Candidate[]> | readonly Candidate[] {
  const [first, ...more] = rest;
  const inner = [...group.verbs, ...(group.groups ?? [])];
  if (first === undefined) return inner.map(({ name, about }) => ({ word: name, about }));
  const found = inner.find(({ name }) => name === first);
  if (found === undefined) return [];
  return isGroup(found) ? ofGroup(found, more, last, names) : ofVerb(found, more, last, names);
}

interface Known {
  readonly flags: readonly string[];
  readonly takesValue: boolean;
  readonly about: string;
  readonly words: readonly string[] | undefined;
  readonly completes: Completes | undefined;
}

function knownOptions(verb: Verb): Known[] {
  const own = Object.values(verb.options).map((option: Option<unknown>): Known => ({ ...flagsOf(option.flags), about: option.about, words: option.words, completes: option.completes }));
  const common = commonOptions(verb).map((option: CommanderOption): Known => ({ ...flagsOf(option.flags), about: option.description, words: wordsOfCommon(option, verb), completes: undefined }));
  return [...own, ...common, { ...flagsOf('-h, --help'), about: 'display help for command', words: undefined, completes: undefined }];
}

function wordsOfCommon(option: CommanderOption, verb: Verb): readonly string[] | undefined {
  return option.long === '--columns' || option.long === '--sort' ? [...verb.columns, 'all'] : option.argChoices;
}

/** An optional value, as of `--watch [seconds]`, is not waited for. */
function flagsOf(flags: string): Pick<Known, 'flags' | 'takesValue'> {
  return { flags: flags.split(/[ ,]+/u).filter((part) => part.startsWith('-')), takesValue: flags.includes('<') };
}

async function ofVerb(verb: Verb, rest: readonly string[], last: string, names: Names): Promise<readonly Candidate[]> {
  const options = knownOptions(verb);
  const valued = options.find(({ flags, takesValue }) => takesValue && flags.includes(rest.at(-1) ?? ''));
  if (valued !== undefined) return valuesOf(valued, rest, names);
  if (last.startsWith('-')) return options.flatMap(({ flags, about }) => flags.filter((one) => one.startsWith('--')).map((word) => ({ word, about })));
  const given = argumentsIn(rest, options);
  const all = Object.values(verb.arguments);
  const argument: Argument<unknown> | undefined = all[given.length] ?? (all.at(-1)?.form === 'many' ? all.at(-1) : undefined);
  if (argument === undefined) return [];
  return (await valuesOf(argument, given, names)).filter(({ word }) => argument.form !== 'many' || !given.includes(word));
}

function argumentsIn(rest: readonly string[], options: readonly Known[]): string[] {
  const takes = (word: string | undefined): boolean => options.some(({ flags, takesValue }) => takesValue && word !== undefined && flags.includes(word));
  return rest.filter((word, at) => !word.startsWith('-') && !takes(rest[at - 1]));
}

async function valuesOf({ words, completes }: Partial<Pick<Known, 'words' | 'completes'>>, before: readonly string[], names: Names): Promise<readonly Candidate[]> {
  if (words !== undefined) return words.map((word) => ({ word, about: '' }));
  if (completes === 'file') return [FILES];
  return completes === undefined ? [] : names(completes, before);
}

/** Names of the cluster that the words so far name. Whatever goes wrong, there are none: nobody wants an error at a tabulator. */
export function clusterNames(terminal: Terminal, words: readonly string[]): Names {
  const at = words.findIndex((word) => CONNECTION.includes(word));
  const connection = at === -1 ? undefined : words[at + 1];
  return async (kind, before) => {
    const { chooseConnection, connectionsFile, readConnections } = await import('./connections.ts');
    if (kind === 'connection') return Object.entries(readConnections(connectionsFile(terminal.env)).connections).map(([word, { url }]) => ({ word, about: url }));
    const { openConnection } = await import('./open-connection.ts');
    const { namesOf } = await import('./cluster-names.ts');
    const open = openConnection(chooseConnection(connection, terminal.env), terminal.clock);
    try {
      return await namesOf(open, kind, { before, timeoutMs: LIMIT_MS });
    } finally {
      open.close();
    }
  };
}
