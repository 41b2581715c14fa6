import { Command, CommanderError, Help, Option as CommanderOption } from 'commander';
import { PVC_VERSION } from '../../common/version.ts';
import { ClientError } from '../client-error.ts';
import { Context, type Settings } from './context.ts';
import type { Argument, Option, Raw } from './declare.ts';
import type { Noun } from './nouns.ts';
import { FORMATS } from './output/render.ts';
import type { Terminal } from './terminal.ts';
import { isGroup, type Group, type Verb } from './verb.ts';

/** Longest wait that is not told another: as long as the API itself would wait. */
const WAIT_LIMIT_S = 600;
const WATCH_S = 2;

/** Options that a verb has for what it prints, asks or waits for; the rest of the module reads them by these flags. */
export function commonOptions(verb: Verb): CommanderOption[] {
  const lists = verb.prints === 'list';
  const shows = lists || verb.prints === 'item';
  return [
    new CommanderOption('-f, --format <format>', 'how to print: for people, or for programs').choices(FORMATS).default('table'),
    ...(shows ? [new CommanderOption('--columns <names>', `what to print: ${verb.columns.join(', ')}; or all`)] : []),
    ...(lists ? [new CommanderOption('--sort <names>', 'by these columns, joined by commas; a minus before one turns it round')] : []),
    ...(lists ? [new CommanderOption('--filter <test>', 'only rows with COLUMN=VALUE; also !=, ~ and !~ (regular expression), <, >; may be repeated').argParser(collected)] : []),
    ...(verb.watches ? [new CommanderOption('-w, --watch [seconds]', `look again and again, every ${WATCH_S} s unless told otherwise`)] : []),
    ...(verb.isDestructive ? [new CommanderOption('-y, --yes', 'do not ask')] : []),
    ...(verb.waits ? [new CommanderOption('--no-wait', 'do not wait until it is done'), new CommanderOption('--wait-limit <seconds>', `longest wait; ${WAIT_LIMIT_S} when missing`)] : []),
  ];
}

function collected(text: string, before: unknown): string[] {
  return [...(Array.isArray(before) ? before.map(String) : []), text];
}

/** What commander has parsed, for whoever runs it. */
export interface Found {
  /** `pvc vm start` */
  readonly command: string;
  readonly verb: Verb;
  readonly context: Context;
  readonly values: Readonly<Record<string, Raw>>;
}

/** The program with the verbs of those nouns that are loaded. `onFound` is told the verb that the arguments name. */
export function buildProgram(terminal: Terminal, nouns: readonly Noun[], loaded: readonly (Group | Verb)[], onFound: (found: Found) => void): Command {
  const program = new Command('pvc')
    .description('Works with a PVC cluster through its HTTP API.')
    .version(PVC_VERSION, '-V, --version')
    .option('-c, --connection <name>', 'the cluster to use: a name of `pvc connection list`')
    .exitOverride()
    .configureHelp({ showGlobalOptions: true, visibleOptions: visibleOptions })
    .configureOutput({ writeOut: (text) => void terminal.stdout.write(text), writeErr: (text) => void terminal.stderr.write(text), outputError: () => undefined, getOutHelpWidth: () => terminal.stdout.columns ?? HELP_COLUMNS })
    .helpCommand('help [command]', 'show the help of a command');
  program.addHelpText('after', `\n${rootExamples()}`);
  for (const noun of nouns) {
    const found = loaded.find((one) => one.name === noun.name);
    const command = program.command(noun.name).description(noun.about);
    const adding = { terminal, onFound, path: `pvc ${noun.name}` };
    if (found !== undefined && isGroup(found)) addGroup(command, found, adding);
    else if (found !== undefined) addVerb(command, found, adding);
  }
  return program;
}

const HELP_COLUMNS = 100;

function visibleOptions(this: Help, command: Command): CommanderOption[] {
  return Help.prototype.visibleOptions.call(this, command).filter((one) => command.parent === null || one.long !== '--version');
}

function rootExamples(): string {
  return examplesText([
    { line: 'pvc cluster status', about: 'what there is, and what is wrong' },
    { line: 'pvc vm list --filter state=start --sort -memory', about: 'the VMs that run, the largest first' },
    { line: 'pvc vm migrate web1 --node hv2', about: 'with a bar until it is there' },
    { line: 'pvc vm list --help', about: 'every command has its own help' },
  ]);
}

interface Adding {
  terminal: Terminal;
  onFound: (found: Found) => void;
  path: string;
}

function addGroup(command: Command, group: Group, adding: Adding): void {
  command.exitOverride();
  for (const verb of group.verbs) addVerb(command.command(verb.name), verb, { ...adding, path: `${adding.path} ${verb.name}` });
  for (const inner of group.groups ?? []) addGroup(command.command(inner.name).description(inner.about), inner, { ...adding, path: `${adding.path} ${inner.name}` });
}

function addVerb(command: Command, verb: Verb, { terminal, onFound, path }: Adding): void {
  command.description(verb.detail === undefined ? verb.about : `${verb.about}.\n\n${verb.detail}`).summary(verb.about);
  for (const [name, argument] of Object.entries(verb.arguments)) command.argument(argumentText(name, argument), aboutOf(argument));
  const own = Object.entries(verb.options).map(([name, option]) => ({ name, option: commanderOption(option) }));
  for (const option of [...own.map((one) => one.option), ...commonOptions(verb)]) command.addOption(option);
  command.addHelpText('after', `\n${examplesText(verb.examples)}`);
  command.action(() => {
    const shared: Record<string, unknown> = command.optsWithGlobals();
    const values = [...Object.keys(verb.arguments).map((name, at): [string, Raw] => [name, rawOf(command.processedArgs[at])]), ...own.map(({ name, option }): [string, Raw] => [name, rawOf(shared[option.attributeName()])])];
    onFound({ command: path, verb, context: new Context(terminal, settingsOf(shared)), values: Object.fromEntries(values) });
  });
}

export function argumentText(name: string, { form }: Argument<unknown>): string {
  const shown = name.replaceAll(/[A-Z]/gu, (letter) => `-${letter.toLowerCase()}`);
  return form === 'one' ? `<${shown}>` : form === 'optional' ? `[${shown}]` : `<${shown}...>`;
}

function aboutOf({ about, words }: Argument<unknown> | Option<unknown>): string {
  return words === undefined ? about : `${about} (${words.join(', ')})`;
}

function commanderOption(option: Option<unknown>): CommanderOption {
  const made = new CommanderOption(option.flags, aboutOf(option)).makeOptionMandatory(option.isNeeded);
  return option.isRepeated ? made.argParser(collected) : made;
}

/** The command line's values as text; commander gives true for an option without one. */
function rawOf(value: unknown): Raw {
  if (value === undefined || value === true || typeof value === 'string') return value;
  return Array.isArray(value) ? value.map(String) : undefined;
}

function examplesText(examples: Verb['examples']): string {
  const width = Math.max(...examples.map(({ line }) => line.length));
  return ['Examples:', ...examples.map(({ line, about }) => `  ${line.padEnd(width)}   ${about}`)].join('\n');
}

const MS_PER_S = 1_000;

function settingsOf(given: Readonly<Record<string, unknown>>): Settings {
  const [connection, columns, sort, filter] = [given['connection'], given['columns'], given['sort'], given['filter']].map(rawOf);
  return {
    connection: typeof connection === 'string' ? connection : undefined,
    format: FORMATS.find((one) => one === given['format']) ?? 'table',
    columns: namesOf(columns),
    sort: namesOf(sort),
    filter: Array.isArray(filter) ? filter.map(String) : undefined,
    watchMs: given['watch'] === undefined ? undefined : secondsOf('--watch', given['watch'], WATCH_S),
    yes: given['yes'] === true,
    wait: given['wait'] !== false,
    waitLimitMs: secondsOf('--wait-limit', given['waitLimit'], WAIT_LIMIT_S),
  };
}

function namesOf(raw: Raw): string[] | undefined {
  return typeof raw === 'string' ? raw.split(',').filter((name) => name !== '') : undefined;
}

/** A day: nobody waits longer at a terminal. */
const SECONDS_MAX = 86_400;
const SECONDS_MIN = 0.1;

/** In milliseconds. @throws ClientError 'arguments'. */
function secondsOf(flag: string, given: unknown, missing: number): number {
  if (given === undefined || given === true) return missing * MS_PER_S;
  const seconds = Number(given);
  if (!(seconds >= SECONDS_MIN && seconds <= SECONDS_MAX)) throw new ClientError('arguments', `${flag}: must be seconds, from ${SECONDS_MIN} to ${SECONDS_MAX}`);
  return Math.round(seconds * MS_PER_S);
}

/** Whether commander has printed what was asked for, such as help: that is no fault. */
export function isHelp(error: unknown): boolean {
  return error instanceof CommanderError && error.exitCode === 0;
}

/** Whether half a command was given, and the help of that half has been printed. */
export function isHelpInstead(error: unknown): boolean {
  return error instanceof CommanderError && error.code === 'commander.help';
}

/** What commander does not understand, as a ClientError. */
export function usageError(error: unknown): ClientError | undefined {
  if (!(error instanceof CommanderError)) return undefined;
  return new ClientError('arguments', error.message.replace(/^error: /u, ''), { cause: error });
}
