import { isAppError } from '../common/errors.ts';

/**
 * What went wrong, as a closed set to branch on.
 * `arguments`: refused here, nothing was sent. `connection`: no answer came; a command may have been carried out.
 * `timeout`, `aborted`: the time limit, or the caller's signal, ended the wait; a command may have been carried out.
 * `answer`: the API refused or failed, `status` says how. `malformed`: the answer is not what the API promises.
 * `outcome`: what was waited for ended otherwise. `bug`: a fault of this library, or of a function that was given to it.
 */
export type ClientErrorKind = 'arguments' | 'connection' | 'timeout' | 'aborted' | 'answer' | 'malformed' | 'outcome' | 'bug';

export interface ClientErrorFacts {
  /** The HTTP status, when the API answered. */
  status?: number | undefined;
  details?: readonly string[];
  cause?: unknown;
}

/** The only thing that this library throws. */
export class ClientError extends Error {
  readonly kind: ClientErrorKind;
  /** The HTTP status of the answer; undefined when there was none. */
  readonly status: number | undefined;
  /** One line for each fact: each wrong argument, the request, its id in the API's log. */
  readonly details: readonly string[];

  constructor(kind: ClientErrorKind, message: string, facts: ClientErrorFacts = {}) {
    super(message, facts.cause === undefined ? {} : { cause: facts.cause });
    this.name = 'ClientError';
    this.kind = kind;
    this.status = facts.status;
    this.details = facts.details ?? [];
  }
}

/** The error as a ClientError, whatever was thrown. */
export function toClientError(error: unknown): ClientError {
  if (error instanceof ClientError) return error;
  if (isAppError(error, 'timeout')) return new ClientError('timeout', 'the time limit is over', { details: factsOf(error.details), cause: error });
  if (isAppError(error, 'cancelled')) return new ClientError('aborted', 'the call was aborted', { cause: error });
  return new ClientError('bug', 'unexpected error', { details: [String(error)], cause: error });
}

function factsOf(details: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(details).map(([name, value]) => `${name}: ${String(value)}`);
}
