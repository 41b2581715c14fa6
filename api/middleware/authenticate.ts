import { createHash, timingSafeEqual } from 'node:crypto';
import type { Request, RequestHandler, Response } from 'express';
import { AppError } from '../../common/errors.ts';
import type { ApiConfig } from '../config.ts';
import type { Caller } from '../route.ts';
import type { LoginLimit } from './login-limit.ts';

/** A configured token as it is kept: nobody can read it from here. */
interface KnownToken {
  readonly hash: Buffer;
  readonly who: string;
}

/** The configured tokens. */
export class Tokens {
  readonly #known: readonly KnownToken[];

  constructor(config: ApiConfig['pvc']['api']['authentication']) {
    this.#known = config.tokens.map((entry, index) => ({ hash: sha256(entry.token), who: entry.description || `token ${index + 1}` }));
  }

  /** Whose token this is. Always compares with all of them, in a time that does not depend on the text. */
  find(token: string): { who: string; hash: string } | undefined {
    return this.#find(sha256(token));
  }

  /** Whose token has this hash; undefined once it is no longer configured. */
  findHash(hash: string): { who: string; hash: string } | undefined {
    return this.#find(Buffer.from(hash, 'hex'));
  }

  #find(hash: Buffer): { who: string; hash: string } | undefined {
    let found: KnownToken | undefined;
    for (const one of this.#known) {
      if (hash.length === one.hash.length && timingSafeEqual(hash, one.hash)) found = one;
    }
    return found === undefined ? undefined : { who: found.who, hash: found.hash.toString('hex') };
  }
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

export const SESSION_COOKIE = 'pvc.sid';

const ANONYMOUS: Caller = { who: 'anonymous', how: 'open' };

/** Who asked; 'anonymous' until authenticated. */
export function callerOf(response: Response): Caller {
  const caller: unknown = response.locals['caller'];
  return isCaller(caller) ? caller : ANONYMOUS;
}

function isCaller(value: unknown): value is Caller {
  return typeof value === 'object' && value !== null && 'who' in value && 'how' in value;
}

function setCaller(response: Response, caller: Caller): void {
  response.locals['caller'] = caller;
}

export interface AuthenticateDeps {
  enabled: boolean;
  tokens: Tokens;
  limit: LoginLimit;
}

/**
 * Finds out who asks: by the session, else by X-Api-Key, as the manual has it.
 * @throws AppError 'unauthenticated', or 'too-many' for an address that keeps guessing.
 */
export function authenticate(deps: AuthenticateDeps): RequestHandler {
  return (request, response, next) => {
    const caller = deps.enabled ? identify(deps, request) : ANONYMOUS;
    if (caller.how !== 'token') refuseForeignOrigin(request);
    setCaller(response, caller);
    next();
  };
}

/** For routes that need no token: takes note of the session's owner, and keeps other sites from using it. */
export function noteCaller(deps: AuthenticateDeps): RequestHandler {
  return (request, response, next) => {
    refuseForeignOrigin(request);
    const who = deps.enabled ? sessionOwner(deps, request) : undefined;
    if (who !== undefined) setCaller(response, who);
    next();
  };
}

function identify(deps: AuthenticateDeps, request: Request): Caller {
  const bySession = sessionOwner(deps, request);
  if (bySession !== undefined) return bySession;
  const key = request.headers['x-api-key'];
  if (typeof key !== 'string' || key === '') throw new AppError('unauthenticated', 'Authentication required');
  const token = deps.tokens.find(key);
  if (token !== undefined) return { who: token.who, how: 'token' };
  const address = request.socket.remoteAddress ?? '';
  deps.limit.check(address);
  deps.limit.failed(address);
  throw new AppError('unauthenticated', 'Authentication required');
}

/** A session counts only as long as its token is configured. */
function sessionOwner(deps: AuthenticateDeps, request: Request): Caller | undefined {
  const hash = hasSession(request) ? request.session.tokenHash : undefined;
  const token = hash === undefined ? undefined : deps.tokens.findHash(hash);
  return token === undefined ? undefined : { who: token.who, how: 'session' };
}

/** express-session's type says that every request has one; only those with a cookie went through it. */
function hasSession(request: { session?: unknown }): boolean {
  return request.session !== undefined && request.session !== null;
}

/**
 * Keeps a page of another site from changing anything with a visitor's session, or with the visitor's mere place in the network
 * where authentication is off. Browsers tell a request's origin whenever it changes something (Fetch standard, Origin header).
 */
function refuseForeignOrigin(request: Request): void {
  const { origin } = request.headers;
  if (request.method === 'GET' || request.method === 'HEAD' || origin === undefined) return;
  if (hostOf(origin) === request.headers.host?.toLowerCase()) return;
  throw new AppError('unauthenticated', 'a page of another site cannot use this session', { origin });
}

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}
