import express, { type Express, type Request, type RequestHandler, type Response } from 'express';
import session from 'express-session';
import type { Clock } from '../common/clock.ts';
import { AppError } from '../common/errors.ts';
import type { Logger } from '../common/log.ts';
import type { ApiMirror } from './cluster.ts';
import type { ApiConfig } from './config.ts';
import { authenticate, callerOf, noteCaller, SESSION_COOKIE, type AuthenticateDeps } from './middleware/authenticate.ts';
import { bodyValues } from './middleware/body.ts';
import { BodyTime } from './middleware/body-time.ts';
import { errorResponder } from './middleware/errors.ts';
import { requestId } from './middleware/request-id.ts';
import { SESSION_MAX_MS, type ClusterSessionStore } from './middleware/session-store.ts';
import { mergeValues } from './params/raw-values.ts';
import { API_PREFIX, type Call, type Route } from './route.ts';
import { sendJson, sendReply } from './send.ts';

export interface AppDeps {
  config: ApiConfig['pvc']['api'];
  mirror: ApiMirror;
  clock: Clock;
  log: Logger;
  sessions: ClusterSessionStore;
  auth: AuthenticateDeps;
  routes: readonly Route[];
}

/** A reply from a mirror that has been cut off for longer says so. */
const STALE_WARNING_MS = 5_000;

/** The Express application of a table of routes. */
export function createApp(deps: AppDeps): Express {
  const app = express();
  const bodyTime = new BodyTime(deps.clock);
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', false);
  app.enable('case sensitive routing');
  app.use(requestId(deps));
  app.use(bodyTime.limit());
  app.use(warnWhenStale(deps));
  if (deps.config.authentication.enabled) app.use(withSession(deps));
  for (const one of deps.routes) if (one.access === 'open') mount(app, one, { guard: noteCaller(deps.auth), bodyTime });
  app.use(API_PREFIX, authenticate(deps.auth));
  for (const one of deps.routes) if (one.access === 'token') mount(app, one, { guard: pass, bodyTime });
  refuseOtherMethods(app, deps.routes);
  app.get('/', (_request, response) => response.redirect(`${API_PREFIX}/docs`));
  app.use((request, response) => sendJson(response, 404, { message: `there is no such path: ${request.path.slice(0, 200)}` }));
  app.use(errorResponder(deps.log));
  return app;
}

const pass: RequestHandler = (_request, _response, next) => next();

function mount(app: Express, one: Route, { guard, bodyTime }: { guard: RequestHandler; bodyTime: BodyTime }): void {
  const run = async (request: Request, response: Response, body: Iterable<readonly [string, unknown]>): Promise<void> => {
    const values = mergeValues(request.url.split('?').slice(1).join('?'), body);
    await sendReply(response, await one.run(pathOf(request.params), values, callOf(request, response)));
  };
  const withValues: RequestHandler = async (request, response) => run(request, response, await bodyValues(request, response));
  const withImage: RequestHandler = async (request, response) => {
    bodyTime.release(request);
    try {
      await run(request, response, []);
    } finally {
      bodyTime.linger(request);
    }
  };
  const handler = one.body === 'image' ? withImage : withValues;
  for (const path of one.paths) {
    const full = `${API_PREFIX}${path}`;
    switch (one.method) {
      case 'GET':
        app.get(full, guard, handler);
        break;
      case 'POST':
        app.post(full, guard, handler);
        break;
      case 'PUT':
        app.put(full, guard, handler);
        break;
      case 'DELETE':
        app.delete(full, guard, handler);
        break;
    }
  }
}

function pathOf(params: Readonly<Record<string, string | string[]>>): Record<string, string> {
  return Object.fromEntries(Object.entries(params).map(([name, value]) => [name, String(value)]));
}

function callOf(request: Call['request'], response: Response): Call {
  return {
    caller: callerOf(response),
    request,
    response,
    gone: () => {
      const controller = new AbortController();
      response.on('close', () => controller.abort());
      if (response.destroyed) controller.abort();
      return controller.signal;
    },
  };
}

/** Only requests that bring our cookie, and logins, have to do with sessions. */
function withSession(deps: AppDeps): RequestHandler {
  const handler = session({
    name: SESSION_COOKIE,
    secret: deps.config.authentication.secret_key,
    store: deps.sessions,
    resave: false,
    saveUninitialized: false,
    cookie: { httpOnly: true, sameSite: 'lax', secure: deps.config.ssl.enabled, path: '/', maxAge: SESSION_MAX_MS },
  });
  return (request, response, next) => {
    const hasCookie = request.headers.cookie?.includes(`${SESSION_COOKIE}=`) === true;
    if (hasCookie || (request.method === 'POST' && request.path.endsWith('/login'))) handler(request, response, next);
    else next();
  };
}

function warnWhenStale(deps: { mirror: ApiMirror }): RequestHandler {
  return (_request, response, next) => {
    const staleMs = deps.mirror.staleForMs();
    if (staleMs > STALE_WARNING_MS) response.setHeader('Warning', `110 - "no contact with ZooKeeper for ${staleText(staleMs)}; this may be out of date"`);
    next();
  };
}

function staleText(staleMs: number): string {
  return Number.isFinite(staleMs) ? `${Math.floor(staleMs / 1_000)} s` : 'ever';
}

/** A known path with another method. */
function refuseOtherMethods(app: Express, routes: readonly Route[]): void {
  const methods = new Map<string, Set<string>>();
  for (const one of routes) for (const path of one.paths) methods.set(path, (methods.get(path) ?? new Set()).add(one.method));
  for (const [path, known] of methods) {
    app.all(`${API_PREFIX}${path}`, (request, response) => {
      const allowed = [...known].sort().join(', ');
      response.setHeader('Allow', allowed);
      sendJson(response, 405, { message: `${request.method} is not allowed here; allowed: ${allowed}` });
    });
  }
}

/** @throws AppError 'bug' for routes that would hide each other. */
export function checkRoutes(routes: readonly Route[]): void {
  const seen = new Set<string>();
  for (const one of routes) {
    for (const path of one.paths) {
      const key = `${one.method} ${path}`;
      if (seen.has(key)) throw new AppError('bug', 'two routes are the same', { route: key });
      seen.add(key);
    }
  }
}
