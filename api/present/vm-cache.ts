import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../../common/clock.ts';
import { describeError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import type { Versioned } from '../../common/schema/resources.ts';
import type { VmSpec } from '../../common/schema/vm.ts';
import type { VmFigures } from '../../common/schema/vm-statistics.ts';
import type { ApiMirror } from '../cluster.ts';
import { presentVmDefinition, presentVmStatus, withCounters } from './vm.ts';

interface Entry {
  specZxid: number;
  /** 0: there is no status. */
  statusZxid: number;
  /** Of the figures of its node; 0: nobody runs it, or there are none. */
  statisticsZxid: number;
  /** The whole JSON object. */
  text: Buffer;
  /** Where the definition's part begins in `text`, and its XML; both stay when only the status changes, and the XML when the figures do. */
  definitionAt: number;
  xmlAt: number;
}

/** Work done in one turn of the event loop, at most: what waits behind it (ZooKeeper's pings, other requests) hardly notices. */
const TURN_MS = 8;

/**
 * The JSON text of each VM, made once per version of spec, status and figures. Correct by comparing versions on each use; the mirror's changes
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
    const owner = status?.doc.owner ?? null;
    const statistics = owner === null ? undefined : this.#mirror.get('vm-statistics', owner);
    const statisticsZxid = statistics?.modifiedZxid ?? 0;
    const held = this.#entries.get(vm.id);
    if (held !== undefined && held.specZxid === vm.modifiedZxid && held.statusZxid === statusZxid && held.statisticsZxid === statisticsZxid) return held.text;
    const figures = statistics?.doc.vms[vm.id];
    const definition = definitionOf(vm, held, { figures, same: held?.statisticsZxid === statisticsZxid });
    const head = Buffer.from(`${JSON.stringify(presentVmStatus(vm.doc, status?.doc, figures)).slice(0, -1)},`);
    const text = Buffer.concat([head, definition.devices, definition.xml]);
    const xmlAt = text.length - definition.xml.length;
    this.#entries.set(vm.id, { specZxid: vm.modifiedZxid, statusZxid, statisticsZxid, text, definitionAt: head.length, xmlAt });
    return text;
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

/** The definition's part of a VM's text: what its devices are, with their counters, and the XML. As much of `held` as is still true. */
function definitionOf(vm: Versioned<VmSpec>, held: Entry | undefined, now: { figures: VmFigures | undefined; same: boolean }): { devices: Buffer; xml: Buffer } {
  if (held?.specZxid !== vm.modifiedZxid) {
    const { xml, ...devices } = presentVmDefinition(vm.doc);
    return { devices: Buffer.from(`${withCounters(JSON.stringify(devices).slice(1, -1), now.figures)},`), xml: Buffer.from(`"xml":${JSON.stringify(xml)}}`) };
  }
  const devices = held.text.subarray(held.definitionAt, held.xmlAt);
  return { devices: now.same ? devices : Buffer.from(withCounters(devices.toString('utf8'), now.figures)), xml: held.text.subarray(held.xmlAt) };
}

const OPEN = Buffer.from('[');
const COMMA = Buffer.from(',');
const CLOSE = Buffer.from(']\n');

/** A JSON array of elements that are text already. */
export function arrayOf(texts: readonly Buffer[]): Buffer[] {
  return [OPEN, ...texts.flatMap((text, index) => (index === 0 ? [text] : [COMMA, text])), CLOSE];
}
