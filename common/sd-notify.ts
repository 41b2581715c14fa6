import { z } from 'zod';
import { describeError } from './errors.ts';
import type { Clock, Timer } from './clock.ts';
import type { Logger } from './log.ts';
import type { Command, Run } from './process.ts';

/** What this project tells systemd (sd_notify(3)). */
export type SdState = 'ready' | 'stopping' | 'reloading' | 'watchdog';

/** `systemd-notify` waits for systemd to have read the message; a healthy one answers in milliseconds. */
const NOTIFY_TIMEOUT_MS = 5_000;

/** systemd wants a ping within WatchdogSec; half of it leaves room for one late ping. */
const PINGS_PER_WATCHDOG = 2;

const environment = z.object({
  NOTIFY_SOCKET: z.string().min(1).optional(),
  /** Microseconds, set by WatchdogSec=. */
  WATCHDOG_USEC: z.coerce.number().int().positive().optional(),
});

/** The assignments of one message, newline-separated on the wire (sd_notify(3)). */
export function notifyAssignments(state: SdState, statusText?: string): readonly string[] {
  const status = statusText === undefined ? [] : [`STATUS=${statusText.replaceAll(/[\r\n]+/gu, ' ')}`];
  switch (state) {
    case 'ready':
      return ['READY=1', ...status];
    case 'stopping':
      return ['STOPPING=1', ...status];
    case 'reloading':
      return ['RELOADING=1', ...status];
    case 'watchdog':
      return ['WATCHDOG=1', ...status];
  }
}

export function notifyCommand(state: SdState, statusText?: string): Command {
  return ['systemd-notify', ...notifyAssignments(state, statusText)];
}

/** Interval between pings in milliseconds, undefined where systemd watches nothing. */
export function watchdogIntervalMs(env: Readonly<Record<string, string | undefined>>): number | undefined {
  const usec = parseEnvironment(env).WATCHDOG_USEC;
  return usec === undefined ? undefined : Math.max(1, Math.floor(usec / 1_000 / PINGS_PER_WATCHDOG));
}

function parseEnvironment(env: Readonly<Record<string, string | undefined>>): z.infer<typeof environment> {
  const parsed = environment.safeParse(env);
  return parsed.success ? parsed.data : {};
}

export interface SdNotifyDeps {
  env: Readonly<Record<string, string | undefined>>;
  run: Run;
  clock: Clock;
  log: Logger;
  /** Whether the process does its work; a ping is left out while it does not, and systemd starts the service again. */
  alive: () => boolean;
}

/**
 * Talks to systemd's notification socket; does nothing where there is none.
 *
 * The socket takes Unix datagrams, which Node cannot send without native code, so each message is one run of
 * `systemd-notify` (about 5 ms of processor; with WatchdogSec=20s one per ten seconds). The sender is a child of the main
 * process, hence the unit needs NotifyAccess=all. A failed message is logged and never ends the daemon: a missing ping
 * is systemd's to judge.
 */
export class SdNotify {
  readonly #deps: SdNotifyDeps;
  readonly #enabled: boolean;
  readonly #intervalMs: number | undefined;
  #timer: Timer | undefined;

  constructor(deps: SdNotifyDeps) {
    this.#deps = deps;
    this.#enabled = parseEnvironment(deps.env).NOTIFY_SOCKET !== undefined;
    this.#intervalMs = watchdogIntervalMs(deps.env);
  }

  /** Begins the watchdog pings. Safe to call twice. */
  start(): void {
    if (this.#timer !== undefined || !this.#enabled || this.#intervalMs === undefined) return;
    this.#schedule(this.#intervalMs);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  async send(state: SdState, statusText?: string): Promise<void> {
    if (!this.#enabled) return;
    const notifySocket = parseEnvironment(this.#deps.env).NOTIFY_SOCKET ?? '';
    try {
      await this.#deps.run(notifyCommand(state, statusText), { timeoutMs: NOTIFY_TIMEOUT_MS, env: { NOTIFY_SOCKET: notifySocket } });
    } catch (error) {
      this.#deps.log.warn({ state, why: describeError(error) }, 'systemd could not be told');
    }
  }

  #schedule(intervalMs: number): void {
    this.#timer = this.#deps.clock.after(intervalMs, () => {
      this.#schedule(intervalMs);
      if (this.#deps.alive()) void this.send('watchdog');
      else this.#deps.log.error({}, 'the watchdog is not answered: no work was finished for too long');
    });
  }
}
