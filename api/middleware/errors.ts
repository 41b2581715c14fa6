import type { ErrorRequestHandler, Request, Response } from 'express';
import { z } from 'zod';
import { AppError, describeError, toAppError, type ErrorCode } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import { sendJson } from '../send.ts';
import { requestIdOf } from './request-id.ts';

/** The manual's code for every command that failed. */
const CODE_FAILED = 510;

/** A message longer than this helps nobody. */
const MESSAGE_MAX_CHARS = 2_000;

/** The HTTP status of a failure. An absent element answers a GET with 404, as both command lines expect, and a command with 510. */
export function httpStatusOf(code: ErrorCode, method: string): number {
  switch (code) {
    case 'not-found':
      return method === 'GET' || method === 'HEAD' ? 404 : CODE_FAILED;
    case 'unauthenticated':
      return 401;
    case 'too-large':
      return 413;
    case 'too-many':
      return 429;
    case 'not-allowed':
    case 'invalid':
    case 'exists':
    case 'conflict':
    case 'state':
    case 'no-resource':
    case 'unavailable':
    case 'unknown-outcome':
    case 'timeout':
    case 'cancelled':
    case 'component':
      return CODE_FAILED;
    case 'bug':
      return 500;
  }
}

/** Express and its router mark what the client did wrong with a status of their own (a path that is not valid UTF-8). */
const clientFault = z.object({ status: z.number().int().min(400).max(499) });

function known(error: unknown): AppError {
  if (clientFault.safeParse(error).success) return new AppError('invalid', 'the request is not valid', { what: String(error) });
  return toAppError(error);
}

/** Answers every error with its code and a JSON message. What only we can have done wrong is logged, and not shown. */
export function errorResponder(log: Logger): ErrorRequestHandler {
  return (error: unknown, request: Request, response: Response, _next) => {
    const failure = known(error);
    if (failure.code === 'bug') log.error({ request: requestIdOf(response), err: failure, cause: failure.cause }, 'request failed unexpectedly');
    if (response.headersSent) {
      response.destroy();
      return;
    }
    if (failure.code === 'too-large') response.setHeader('Connection', 'close');
    const { retryAfterS } = failure.details;
    if (typeof retryAfterS === 'number') response.setHeader('Retry-After', String(retryAfterS));
    sendJson(response, httpStatusOf(failure.code, request.method), { message: messageOf(failure, requestIdOf(response)) });
  };
}

function messageOf(failure: AppError, requestId: string): string {
  if (failure.code === 'bug') return `unexpected error; the log has more under request ${requestId}`;
  return describeError(failure).replaceAll('"', "'").slice(0, MESSAGE_MAX_CHARS);
}
