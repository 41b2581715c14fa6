import type { Request } from 'express';
import { z } from 'zod';
import { AppError } from '../../common/errors.ts';
import type { Tokens } from '../middleware/authenticate.ts';
import type { LoginLimit } from '../middleware/login-limit.ts';
import { freeText, text } from '../params/values.ts';
import { API_PREFIX, done, messageReply, route, type Call, type Reply, type Route } from '../route.ts';

export interface AuthRouteDeps {
  enabled: boolean;
  tokens: Tokens;
  limit: LoginLimit;
}

/** The manual's own spelling. */
const DISABLED = 'Authentiation is disabled';

const TOKEN_MAX_CHARS = 1_024;

export function authRoutes(deps: AuthRouteDeps): Route[] {
  return [formRoute(deps), loginRoute(deps), logoutRoute('GET', deps), logoutRoute('POST', deps)];
}

function formRoute(deps: AuthRouteDeps): Route {
  return route({
    method: 'GET',
    path: '/auth/login',
    access: 'open',
    summary: 'Show a login form',
    values: z.object({}),
    reply: { code: 200, type: 'text/html', schema: z.string() },
    handle: () => (deps.enabled ? { kind: 'text', code: 200, type: 'text/html', body: FORM } : done(DISABLED)),
  });
}

const FORM = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>PVC login</title></head>
<body><h1>PVC</h1>
<form method="post" action="${API_PREFIX}/auth/login">
<label>Token <input type="password" name="token" required autofocus autocomplete="current-password"></label>
<button type="submit">Log in</button>
</form></body></html>
`;

function loginRoute(deps: AuthRouteDeps): Route {
  return route({
    method: 'POST',
    path: '/auth/login',
    pathAliases: ['/login'],
    access: 'open',
    summary: 'Log in with a token',
    description: 'Opens a session; its cookie then takes the place of X-Api-Key.',
    values: deps.enabled ? z.object({ token: text(freeText(TOKEN_MAX_CHARS), 'The token.') }) : z.object({ token: z.undefined().or(z.unknown()) }),
    reply: { code: 200, schema: messageReply },
    handle: (values, call) => login(deps, String(values.token), call),
  });
}

async function login(deps: AuthRouteDeps, given: string, call: Call): Promise<Reply> {
  if (!deps.enabled) return done(DISABLED);
  const address = call.request.socket.remoteAddress ?? '';
  deps.limit.check(address);
  const token = deps.tokens.find(given);
  if (token === undefined) {
    deps.limit.failed(address);
    throw new AppError('unauthenticated', 'Authentication failed: the token is not valid');
  }
  await changed((end) => call.request.session.regenerate(end));
  call.request.session.tokenHash = token.hash;
  await changed((end) => call.request.session.save(end));
  return done(`Logged in as ${token.who}`);
}

function logoutRoute(method: 'GET' | 'POST', deps: AuthRouteDeps): Route {
  return route({
    method,
    path: '/auth/logout',
    pathAliases: ['/logout'],
    access: 'open',
    summary: 'Log out',
    values: z.object({}),
    reply: { code: 200, schema: messageReply },
    handle: async (_values, call) => {
      if (!deps.enabled) return done(DISABLED);
      if (hasSession(call.request)) await changed((end) => call.request.session.destroy(end));
      return done('Logged out');
    },
  });
}

/** express-session's type says that every request has one. */
function hasSession(request: Request | { session?: unknown }): boolean {
  return request.session !== undefined;
}

/** express-session's callback as a promise. */
function changed(work: (end: (error?: unknown) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    work((error) => {
      if (error === undefined || error === null) resolve();
      else reject(error instanceof Error ? error : new AppError('component', 'the session could not be changed', {}, { cause: error }));
    });
  });
}
