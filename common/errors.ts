/**
 * Every way a call can fail, as a closed set. HTTP status, exit code and retry are derived from the code.
 * Each code is described in docs/errors.md; a test holds the two together.
 */
export const ERROR_CODES = [
  'invalid',
  'unauthenticated',
  'not-found',
  'not-allowed',
  'too-large',
  'too-many',
  'exists',
  'conflict',
  'state',
  'no-resource',
  'unavailable',
  'unknown-outcome',
  'timeout',
  'cancelled',
  'component',
  'bug',
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

export type ErrorDetails = Readonly<Record<string, unknown>>;

/**
 * The one error class. `message` is constant text that a person reads; facts go to `details`, the origin to `cause`.
 * Callers branch on `code`, never on text.
 */
export class AppError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}, options: { cause?: unknown } = {}) {
    super(message, options);
    this.name = 'AppError';
    this.code = code;
    this.details = details;
  }
}

/** True when `error` is an AppError, with one of `codes` if any are given. */
export function isAppError(error: unknown, ...codes: readonly ErrorCode[]): error is AppError {
  return error instanceof AppError && (codes.length === 0 || codes.includes(error.code));
}

/** The error as an AppError: anything foreign becomes a 'bug' whose cause is the original. */
export function toAppError(error: unknown): AppError {
  if (error instanceof AppError) return error;
  if (error instanceof Error && error.name === 'AbortError') return new AppError('cancelled', 'the call was cancelled', {}, { cause: error });
  return new AppError('bug', 'unexpected error', { text: String(error) }, { cause: error });
}

/** Whether the work queue tries again by itself; the others wait until something changes. */
export function isRetryable(code: ErrorCode): boolean {
  switch (code) {
    case 'conflict':
    case 'no-resource':
    case 'unavailable':
    case 'unknown-outcome':
    case 'timeout':
    case 'component':
      return true;
    case 'invalid':
    case 'unauthenticated':
    case 'not-found':
    case 'not-allowed':
    case 'too-large':
    case 'too-many':
    case 'exists':
    case 'state':
    case 'cancelled':
    case 'bug':
      return false;
  }
}

/** Message and details on one line, for people. */
export function describeError(error: unknown): string {
  const known = toAppError(error);
  const facts = Object.entries(known.details)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}: ${typeof value === 'string' ? value : JSON.stringify(value)}`);
  return facts.length === 0 ? known.message : `${known.message} (${facts.join(', ')})`;
}
