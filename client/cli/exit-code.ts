import type { ClientError } from '../client-error.ts';

/** How the command ends, for scripts. */
export const EXIT = { done: 0, refused: 1, usage: 2, unreachable: 3, unauthorised: 4, interrupted: 130 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

const UNAUTHENTICATED = 401;
const FORBIDDEN = 403;
const NOT_FOUND = 404;
const TOO_MANY = 429;
/** What a proxy says of an API that is not there. */
const AWAY = [502, 503, 504];

export function exitCodeOf({ kind, status }: Pick<ClientError, 'kind' | 'status'>): ExitCode {
  switch (kind) {
    case 'arguments':
      return EXIT.usage;
    case 'connection':
    case 'timeout':
    case 'malformed':
      return EXIT.unreachable;
    case 'aborted':
      return EXIT.interrupted;
    case 'answer':
      if (status === UNAUTHENTICATED || status === FORBIDDEN) return EXIT.unauthorised;
      return status !== undefined && AWAY.includes(status) ? EXIT.unreachable : EXIT.refused;
    case 'outcome':
    case 'bug':
      return EXIT.refused;
  }
}

export interface Place {
  /** The command as far as it was understood: `pvc vm start`. */
  readonly command: string;
  /** URL of the API, when it is known. */
  readonly url: string | undefined;
}

/** What somebody can do about it. */
function adviceOf({ kind, status }: ClientError, { command, url }: Place): string {
  switch (kind) {
    case 'arguments':
      return `see ${command} --help`;
    case 'connection':
    case 'timeout':
      return `is the API at ${url ?? 'that address'} up? See pvc connection list`;
    case 'malformed':
      return `is ${url ?? 'that address'} the API of a cluster, of this version? See pvc connection list`;
    case 'aborted':
      return 'what was asked for may have been done';
    case 'answer':
      return answerAdvice(status, command);
    case 'outcome':
      return 'see pvc task list and pvc cluster status';
    case 'bug':
      return 'this is a fault of the command: please report it';
  }
}

function answerAdvice(status: number | undefined, command: string): string {
  if (status === UNAUTHENTICATED || status === FORBIDDEN) return 'give a valid token: pvc connection add, or PVC_API_TOKEN';
  if (status === TOO_MANY) return 'wait and try again';
  const list = listOf(command);
  if (list === undefined) return `see ${command} --help`;
  return status === NOT_FOUND ? `${list} has the names` : `see ${list} and ${command} --help`;
}

/** The command that lists what another one is about: `pvc storage volume list` for `pvc storage volume info`. */
function listOf(command: string): string | undefined {
  const [, noun = '', ...more] = command.split(' ');
  if (['vm', 'node', 'network', 'task'].includes(noun)) return `pvc ${noun} list`;
  return noun === 'storage' && more.length > 1 ? `pvc storage ${more.slice(0, -1).join(' ')} list` : undefined;
}

/** Facts that help whoever reads the API's log, and nobody else. */
const FOR_LOGS = /^(?:GET|POST|PUT|DELETE|request:|code:) ?/u;

/** The error on one line, with what to do. */
export function errorLine(error: ClientError, place: Place): string {
  const facts = error.kind === 'answer' ? [] : error.details.filter((fact) => !FOR_LOGS.test(fact));
  const said = facts.length === 0 ? error.message : `${error.message} (${facts.join('; ')})`;
  return `pvc: ${said.replaceAll(/\s*\n\s*/gu, ' ')} - ${adviceOf(error, place)}`;
}
