import ipaddr from 'ipaddr.js';
import type { Clock } from '../../common/clock.ts';
import { AppError } from '../../common/errors.ts';

/** Failed attempts that one address may make within WINDOW_MS: a person mistypes, a guesser needs millions. */
const FAILURES_PER_ADDRESS = 10;
/** The same over all addresses, so that many addresses guess no faster. */
const FAILURES_OVERALL = 200;
const WINDOW_MS = 60_000;
/** Addresses remembered at once; beyond it the one first seen is forgotten, the overall limit still counts. */
const ADDRESSES_MAX = 10_000;

interface Window {
  sinceMs: number;
  failures: number;
}

/** Slows down guessing of tokens. Only failures count. */
export class LoginLimit {
  readonly #clock: Clock;
  readonly #addresses = new Map<string, Window>();
  #overall: Window;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#overall = { sinceMs: Number.NEGATIVE_INFINITY, failures: 0 };
  }

  /** @throws AppError 'too-many' while this address, or all together, failed too often. */
  check(address: string): void {
    const nowMs = this.#clock.monotonicMs();
    const own = this.#addresses.get(networkOf(address));
    if (own !== undefined) refuse(own, FAILURES_PER_ADDRESS, nowMs);
    refuse(this.#overall, FAILURES_OVERALL, nowMs);
  }

  failed(address: string): void {
    const nowMs = this.#clock.monotonicMs();
    this.#overall = counted(this.#overall, nowMs);
    const network = networkOf(address);
    const window = counted(this.#addresses.get(network), nowMs);
    this.#addresses.delete(network);
    this.#addresses.set(network, window);
    const oldest = this.#addresses.keys().next();
    if (this.#addresses.size > ADDRESSES_MAX && oldest.done !== true) this.#addresses.delete(oldest.value);
  }
}

function counted(window: Window | undefined, nowMs: number): Window {
  if (window === undefined || nowMs - window.sinceMs >= WINDOW_MS) return { sinceMs: nowMs, failures: 1 };
  return { sinceMs: window.sinceMs, failures: window.failures + 1 };
}

function refuse(window: Window, failuresMax: number, nowMs: number): void {
  const leftMs = window.sinceMs + WINDOW_MS - nowMs;
  if (window.failures < failuresMax || leftMs <= 0) return;
  throw new AppError('too-many', 'too many failed logins', { retryAfterS: Math.ceil(leftMs / 1_000) });
}

/** One person has a whole IPv6 /64 to guess from. */
function networkOf(address: string): string {
  if (!ipaddr.IPv6.isValid(address)) return address;
  const parsed = ipaddr.IPv6.parse(address);
  return parsed.isIPv4MappedAddress() ? parsed.toIPv4Address().toString() : parsed.toByteArray().slice(0, NETWORK_BYTES).join('.');
}

const NETWORK_BYTES = 8;
