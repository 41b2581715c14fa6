import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../../common/clock.ts';
import { describeError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import type { Versioned } from '../../common/schema/resources.ts';
import type { VmSpec } from '../../common/schema/vm.ts';
import type { VmStatus } from '../../common/schema/vm-status.ts';
import type { ApiMirror } from '../cluster.ts';
import { presentVmDefinition, presentVmStatus } from './vm.ts';

interface Entry {
  specZxid: number;
  /** 0: there is no status. */
  statusZxid: number;
  /** The whole JSON object. */
  text: Buffer;
  /** Where the definition's part begins in `text`; it stays when only the status changes. */
  definitionAt: number;
}

/** Work done in one turn of the event loop, at most: what waits behind it (ZooKeeper's pings, other requests) hardly notices. */
const TURN_MS = 8;

/**
 * The JSON text of each VM, made once per version of spec and status. Correct by comparing versions on each use; the mirror's changes
 * only serve to forget what is gone and to be ready before somebody asks.
 */
export class VmCache {
  readonly #mirror: ApiMirror;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #entries = new Map<string, Entry>();
  readonly #stale = new Set<string>();
  #sorted: readonly Versioned<VmSpec>[] | undefined;
  #unlisten: (() => void) | undefined;
  #warming = false;

  constructor(deps: { mirror: ApiMirror; clock: Clock; log: Logger }) {
    this.#mirror = deps.mirror;
    this.#clock = deps.clock;
    this.#log = deps.log;
  }

  /** Begins to prepare the texts in the background. */
  start(): void {
    this.#unlisten ??= this.#mirror.onChange((kind, id) => {
      if (kind !== 'vm') return;
      this.#sorted = undefined;
      if (this.#mirror.get('vm', id) === undefined) this.#entries.delete(id);
      else this.#prepare(id);
    });
    for (const id of this.#mirror.all('vm').keys()) this.#prepare(id);
  }

  stop(): void {
    this.#unlisten?.();
    this.#unlisten = undefined;
    this.#stale.clear();
  }

  /** All VMs by name. */
  sorted(): readonly Versioned<VmSpec>[] {
    this.#sorted ??= [...this.#mirror.all('vm').values()].sort((a, b) => (a.doc.name < b.doc.name ? -1 : 1));
    return this.#sorted;
  }

  /** The VM as JSON text. */
  text(vm: Versioned<VmSpec>): Buffer {
    const status = this.#mirror.get('vm-status', vm.id);
    const statusZxid = status?.modifiedZxid ?? 0;
    const held = this.#entries.get(vm.id);
    if (held !== undefined && held.specZxid === vm.modifiedZxid && held.statusZxid === statusZxid) return held.text;
    const definition = held?.specZxid === vm.modifiedZxid ? held.text.subarray(held.definitionAt) : definitionText(vm.doc);
    const entry = { specZxid: vm.modifiedZxid, statusZxid, ...joined(vm.doc, status?.doc, definition) };
    this.#entries.set(vm.id, entry);
    return entry.text;
  }

  /** The texts of many VMs; lets others run in between when many have to be made. */
  async texts(vms: readonly Versioned<VmSpec>[]): Promise<Buffer[]> {
    const texts: Buffer[] = [];
    let turnMs = this.#clock.monotonicMs();
    for (const vm of vms) {
      texts.push(this.text(vm));
      if (this.#clock.monotonicMs() - turnMs < TURN_MS) continue;
      await nextTurn();
      turnMs = this.#clock.monotonicMs();
    }
    return texts;
  }

  #prepare(id: string): void {
    this.#stale.add(id);
    if (this.#warming) return;
    this.#warming = true;
    this.#warm().then(
      () => this.#warmed(),
      (error: unknown) => this.#warmed(error),
    );
  }

  /** A text that could not be made fails again, and is reported, when somebody asks for it. */
  #warmed(error?: unknown): void {
    this.#warming = false;
    if (error !== undefined) this.#log.error({ error: describeError(error) }, 'a VM could not be prepared for showing');
  }

  async #warm(): Promise<void> {
    await nextTurn();
    let turnMs = this.#clock.monotonicMs();
    for (const id of this.#stale) {
      this.#stale.delete(id);
      const vm = this.#mirror.get('vm', id);
      if (vm !== undefined) this.text(vm);
      if (this.#clock.monotonicMs() - turnMs < TURN_MS) continue;
      await nextTurn();
      turnMs = this.#clock.monotonicMs();
    }
  }
}

function definitionText(spec: VmSpec): Buffer {
  return Buffer.from(JSON.stringify(presentVmDefinition(spec)).slice(1));
}

function joined(spec: VmSpec, status: VmStatus | undefined, definition: Buffer): { text: Buffer; definitionAt: number } {
  const head = Buffer.from(`${JSON.stringify(presentVmStatus(spec, status)).slice(0, -1)},`);
  return { text: Buffer.concat([head, definition]), definitionAt: head.length };
}

const OPEN = Buffer.from('[');
const COMMA = Buffer.from(',');
const CLOSE = Buffer.from(']\n');

/** A JSON array of elements that are text already. */
export function arrayOf(texts: readonly Buffer[]): Buffer[] {
  return [OPEN, ...texts.flatMap((text, index) => (index === 0 ? [text] : [COMMA, text])), CLOSE];
}
