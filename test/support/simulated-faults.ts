import type { Clock, Timer } from '../../common/clock.ts';
import type { VmId } from '../../common/ids.ts';
import type { MemoryZooKeeper } from '../../common/store/memory-zookeeper.ts';
import type { CreateOptions, Entry, ReadOptions, SessionState, Store, StoreListener } from '../../common/store/store.ts';
import type { Hypervisor, HypervisorListener, MigrationRequest } from '../../node-daemon/drivers/hypervisor.ts';
import { never } from './simulated-hypervisor.ts';

/**
 * What happens at a numbered point. `kill-before`: the call is not made. `kill-during`: some time into it, or after its end.
 * `kill-after`: it was done and the daemon died before it could know.
 */
export type FaultKind = 'kill-before' | 'kill-during' | 'kill-after' | 'lose-done' | 'lose-not-done' | 'expire' | 'partition';

/** Half a second: a migration is in its passes then, a start has ended. */
const DURING_MS = 500;

/** Changes of servers, files and addresses take a few milliseconds: this is between two steps of a server's start. */
const DURING_SERVING_MS = 2.5;

/** Longer than a session lives. */
const PARTITION_MS = 15_000;

export interface FaultDeps {
  clock: Clock;
  zookeeper: MemoryZooKeeper;
  /** Name of the daemon's session. */
  name: string;
  /** Kills the daemon, and starts it again later. */
  kill: () => void;
  /** How far into a call `kill-during` comes. */
  duringMs?: number;
}

/** Numbers the calls that leave one node's daemon, over all its lives, and makes one of them go wrong. */
export class FaultPoints {
  readonly #deps: FaultDeps;
  /** What each point was, from 1. */
  readonly names: string[] = [];
  #armed: { at: number; kind: FaultKind } | undefined;
  #counting = false;
  fired: string | undefined;

  constructor(deps: FaultDeps) {
    this.#deps = deps;
  }

  /** From now on calls are numbered. */
  start(armed?: { at: number; kind: FaultKind }): void {
    this.#counting = true;
    this.#armed = armed;
  }

  stop(): void {
    this.#counting = false;
    this.#armed = undefined;
  }

  async pass<T>(name: string, call: () => Promise<T>): Promise<T> {
    if (!this.#counting) return call();
    this.names.push(name);
    const armed = this.#armed;
    if (armed === undefined || this.names.length !== armed.at) return call();
    this.#armed = undefined;
    this.fired = `${armed.kind} at ${armed.at} ${name}`;
    return this.#fail(armed.kind, name, call);
  }

  async #fail<T>(kind: FaultKind, name: string, call: () => Promise<T>): Promise<T> {
    const { zookeeper, clock, kill } = this.#deps;
    const isWrite = name.startsWith('store.');
    switch (kind) {
      case 'kill-before':
        kill();
        return never();
      case 'kill-during':
        clock.after(this.#deps.duringMs ?? (/^(dhcp|dns|addresses|firewall)\./u.test(name) ? DURING_SERVING_MS : DURING_MS), kill);
        return call();
      case 'kill-after':
        await Promise.allSettled([call()]);
        kill();
        return never();
      case 'lose-done':
      case 'lose-not-done':
        if (isWrite) zookeeper.loseReply(this.#deps.name, kind === 'lose-done' ? 'done' : 'not-done');
        return call();
      case 'expire':
        zookeeper.expire(this.#deps.name);
        return call();
      case 'partition':
        zookeeper.partition(this.#deps.name);
        clock.after(PARTITION_MS, () => zookeeper.heal(this.#deps.name));
        return call();
    }
  }
}

/** A store whose writes are numbered points. */
export class FaultStore implements Store {
  readonly #store: Store;
  readonly #points: FaultPoints;

  constructor(store: Store, points: FaultPoints) {
    this.#store = store;
    this.#points = points;
  }

  get state(): SessionState {
    return this.#store.state;
  }

  start(signal: AbortSignal): Promise<void> {
    return this.#store.start(signal);
  }

  stop(): Promise<void> {
    return this.#store.stop();
  }

  read(path: string, options?: ReadOptions): Promise<Entry | undefined> {
    return this.#store.read(path, options);
  }

  list(path: string, options?: ReadOptions): Promise<readonly string[]> {
    return this.#store.list(path, options);
  }

  create(path: string, value: unknown, options?: CreateOptions): Promise<Entry> {
    return this.#points.pass(`store.create ${path}`, () => this.#store.create(path, value, options));
  }

  update(path: string, value: unknown, version: number): Promise<Entry> {
    return this.#points.pass(`store.update ${path}`, () => this.#store.update(path, value, version));
  }

  remove(path: string, version: number): Promise<void> {
    return this.#points.pass(`store.remove ${path}`, () => this.#store.remove(path, version));
  }

  sync(): Promise<void> {
    return this.#store.sync();
  }

  listen(listener: StoreListener): () => void {
    return this.#store.listen(listener);
  }
}

/** A hypervisor whose calls are numbered points. */
export function withFaults(hypervisor: Hypervisor, points: FaultPoints): Hypervisor {
  const at = (name: string, uuid?: VmId): string => `hypervisor.${name} ${uuid ?? ''}`.trim();
  return {
    start: (signal) => hypervisor.start(signal),
    stop: () => hypervisor.stop(),
    hostInfo: () => hypervisor.hostInfo(),
    stats: () => hypervisor.stats(),
    listen: (listener: HypervisorListener) => hypervisor.listen(listener),
    list: () => points.pass(at('list'), () => hypervisor.list()),
    find: (uuid) => points.pass(at('find', uuid), () => hypervisor.find(uuid)),
    create: (uuid, xml) => points.pass(at('create', uuid), () => hypervisor.create(uuid, xml)),
    disks: (uuid) => points.pass(at('disks', uuid), () => hypervisor.disks(uuid)),
    resizeDisk: (uuid, disk) => points.pass(at('resizeDisk', uuid), () => hypervisor.resizeDisk(uuid, disk)),
    shutdown: (uuid) => points.pass(at('shutdown', uuid), () => hypervisor.shutdown(uuid)),
    resume: (uuid) => points.pass(at('resume', uuid), () => hypervisor.resume(uuid)),
    destroy: (uuid) => points.pass(at('destroy', uuid), () => hypervisor.destroy(uuid)),
    forget: (uuid) => points.pass(at('forget', uuid), () => hypervisor.forget(uuid)),
    migrate: (uuid, request: MigrationRequest, signal) => points.pass(at('migrate', uuid), () => hypervisor.migrate(uuid, request, signal)),
    migrationProgress: (uuid) => hypervisor.migrationProgress(uuid),
    setMaxDowntime: (uuid, maxDowntimeMs) => points.pass(at('setMaxDowntime', uuid), () => hypervisor.setMaxDowntime(uuid, maxDowntimeMs)),
    abortMigration: (uuid) => points.pass(at('abortMigration', uuid), () => hypervisor.abortMigration(uuid)),
    findOnPeer: (node, uuid) => points.pass(at('findOnPeer', uuid), () => hypervisor.findOnPeer(node, uuid)),
  };
}

/** The clock of one process: with the process its timers end. */
export class MortalClock implements Clock {
  readonly #clock: Clock;
  #dead = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  kill(): void {
    this.#dead = true;
  }

  nowMs(): number {
    return this.#clock.nowMs();
  }

  monotonicMs(): number {
    return this.#clock.monotonicMs();
  }

  after(delayMs: number, callback: () => void): Timer {
    return this.#clock.after(delayMs, () => {
      if (!this.#dead) callback();
    });
  }
}
