import type { IncomingMessage } from 'node:http';
import type { RequestHandler, Response } from 'express';
import type { Clock, Timer } from '../../common/clock.ts';
import { sendJson } from '../send.ts';

/** A client that is slower than this with its whole request is no client, unless the request carries an image. */
const BODY_MAX_MS = 60_000;
/** Who still sends what nobody wants any more has this long to read why. */
const LINGER_MS = 5_000;

/** How long bodies may take to come. Node has one such limit for all requests only. */
export class BodyTime {
  readonly #clock: Clock;
  readonly #timers = new WeakMap<IncomingMessage, Timer>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Answers a request whose body is not there in time, and ends its connection. */
  limit(): RequestHandler {
    return (request, response, next) => {
      if (request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length'] ?? 0) > 0) {
        this.#within(request, BODY_MAX_MS, () => giveUp(request, response));
      }
      next();
    };
  }

  /** From now on somebody else sees to it that the body comes. */
  release(request: IncomingMessage): void {
    this.#timers.get(request)?.cancel();
  }

  /** The request is answered; what is left of its body is thrown away for a moment, so that the client finds the answer. */
  linger(request: IncomingMessage): void {
    if (!request.complete) this.#within(request, LINGER_MS, () => request.destroy());
  }

  #within(request: IncomingMessage, limitMs: number, over: () => void): void {
    const timer = this.#clock.after(limitMs, () => {
      if (!request.complete) over();
    });
    this.#timers.set(request, timer);
    request.once('close', () => timer.cancel());
  }
}

function giveUp(request: IncomingMessage, response: Response): void {
  if (response.headersSent) {
    request.destroy();
    return;
  }
  response.setHeader('Connection', 'close');
  sendJson(response, 408, { message: 'the request did not come in time' });
}
