import type { RequestHandler, Response } from 'express';
import type { Clock } from '../../common/clock.ts';
import { randomToken } from '../../common/ids.ts';
import type { Logger } from '../../common/log.ts';
import { callerOf } from './authenticate.ts';

const REQUEST_ID_HEADER = 'X-Request-Id';

/** Bytes of randomness in a request's id. */
const ID_BYTES = 8;
/** A path longer than this is cut in the log. */
const PATH_MAX_CHARS = 300;

/** The id that stands in the reply and in the log. */
export function requestIdOf(response: Response): string {
  return String(response.getHeader(REQUEST_ID_HEADER) ?? '');
}

/** Gives every request an id, sets the headers that every reply has, and logs one line when it is over. Query and body are never logged: they may hold a token. */
export function requestId(deps: { clock: Clock; log: Logger }): RequestHandler {
  return (request, response, next) => {
    const startMs = deps.clock.monotonicMs();
    const id = randomToken(ID_BYTES);
    response.setHeader(REQUEST_ID_HEADER, id);
    response.setHeader('X-Content-Type-Options', 'nosniff');
    response.setHeader('Cache-Control', 'no-store');
    response.on('close', () => {
      const caller = callerOf(response);
      const fields = {
        request: id,
        who: caller.who,
        how: caller.how,
        address: request.socket.remoteAddress,
        method: request.method,
        path: request.path.slice(0, PATH_MAX_CHARS),
        code: response.statusCode,
        ms: Math.round((deps.clock.monotonicMs() - startMs) * 10) / 10,
      };
      deps.log.info(fields, response.writableFinished ? 'request' : 'request cut off by the client');
    });
    next();
  };
}
