import { delay } from '../clock.ts';
import { describeError, isAppError } from '../errors.ts';
import { vmName, type VmId, type VmName } from '../ids.ts';
import type { Logger } from '../log.ts';
import { RESOURCES } from '../schema/resources.ts';
import { SweepLoop } from '../sweep-loop.ts';
import type { OperationContext } from './context.ts';
import { readResource, removeResource } from './update-resource.ts';
import { renameVm } from './vm-definition.ts';
import { takeEntry } from './vm-name.ts';

export interface VmNameSweepOptions {
  readonly context: OperationContext;
  readonly log: Logger;
  /** Time between two sweeps, in milliseconds. */
  readonly intervalMs: number;
  /** How long something must look wrong before it is put right, in milliseconds. */
  readonly settleMs?: number;
}

export interface VmNameReport {
  /** VMs whose name had no entry, or one that pointed at nobody with the name. */
  readonly claimed: number;
  /** Entries of names that no VM has. */
  readonly removed: number;
  /** VMs whose name is another VM's. */
  readonly renamed: number;
}

/** Longer than any call takes from its claim to the VM that has the name; a call that takes longer is told that it has lost the name. */
const SETTLE_DEFAULT_MS = 60_000;

const NAME_MAX_CHARS = 63;
const UUID_PART_CHARS = 8;

/** What looked wrong, in the version in which it did. */
type Fault = { readonly kind: 'vm'; readonly uuid: VmId; readonly version: number } | { readonly kind: 'entry'; readonly name: VmName; readonly version: number };

/**
 * Makes the entries of names and the VMs agree again after a caller died between its writes: a VM gets its entry, an entry without a VM
 * goes, and of two VMs with one name the one without the entry gets another name. Only what stays the same for a while is touched, and
 * each write is conditional, so that several processes may sweep and calls may be at work.
 */
export class VmNameSweep {
  readonly #options: VmNameSweepOptions;
  readonly #loop: SweepLoop;

  constructor(options: VmNameSweepOptions) {
    this.#options = options;
    const { context, log, intervalMs } = options;
    this.#loop = new SweepLoop({ clock: context.clock, log, intervalMs, name: 'names of VMs', sweep: (signal) => this.sweep(signal) });
  }

  start(): void {
    this.#loop.start();
  }

  stop(): Promise<void> {
    return this.#loop.stop();
  }

  /** One sweep: a read for each VM, one after the other. Does nothing while the mirror is stale. */
  async sweep(signal: AbortSignal): Promise<VmNameReport> {
    const { context } = this.#options;
    const report = { claimed: 0, removed: 0, renamed: 0 };
    const faults = await this.#faults(signal);
    if (faults.length === 0) return report;
    await delay(context.clock, this.#options.settleMs ?? SETTLE_DEFAULT_MS, signal);
    for (const fault of faults) {
      if (signal.aborted || context.mirror.staleForMs() > 0) return report;
      const repaired = fault.kind === 'vm' ? await this.#repairVm(fault) : await this.#repairEntry(fault);
      if (repaired !== undefined) report[repaired] += 1;
    }
    return report;
  }

  async #faults(signal: AbortSignal): Promise<Fault[]> {
    const { store, mirror } = this.#options.context;
    const faults: Fault[] = [];
    const stopped = (): boolean => signal.aborted || mirror.staleForMs() > 0;
    for (const { id, doc, version } of [...mirror.all('vm').values()]) {
      if (stopped()) return [];
      if (doc.deletion !== null) continue;
      const entry = await readResource({ store }, 'vm-name', doc.name);
      if (entry?.doc.uuid !== id) faults.push({ kind: 'vm', uuid: doc.uuid, version });
    }
    for (const id of await store.list(RESOURCES['vm-name'].root)) {
      const name = vmName.safeParse(id);
      if (!name.success || mirror.find('vm', id).length > 0) continue;
      if (stopped()) return [];
      const entry = await readResource({ store }, 'vm-name', id);
      if (entry !== undefined) faults.push({ kind: 'entry', name: name.data, version: entry.version });
    }
    return faults;
  }

  async #repairVm({ uuid, version }: { uuid: VmId; version: number }): Promise<keyof VmNameReport | undefined> {
    const { context, log } = this.#options;
    const vm = await readResource(context, 'vm', uuid);
    // Whoever changed it meanwhile may be at work on the name.
    if (vm?.version !== version) return undefined;
    const { name } = vm.doc;
    const entry = await readResource(context, 'vm-name', name);
    if (entry?.doc.uuid === uuid) return undefined;
    try {
      await takeEntry(context, name, uuid);
    } catch (error) {
      if (!isAppError(error, 'exists')) throw error;
      return this.#rename(uuid, name);
    }
    log.warn({ vm: uuid, name }, 'VM had no entry for its name, and has it again');
    return 'claimed';
  }

  /** Its definition, or its renaming, was refused, and whoever asked for it died before taking it back. */
  async #rename(uuid: VmId, name: VmName): Promise<'renamed' | undefined> {
    const { context, log } = this.#options;
    const free = `${name.slice(0, NAME_MAX_CHARS - UUID_PART_CHARS - 1)}-${uuid.slice(0, UUID_PART_CHARS)}`;
    try {
      await renameVm(context, uuid, free);
    } catch (error) {
      if (!isAppError(error, 'state', 'exists', 'not-found')) throw error;
      log.warn({ vm: uuid, name, error: describeError(error) }, 'two VMs have one name, and the second cannot be renamed now');
      return undefined;
    }
    log.warn({ vm: uuid, from: name, to: free }, 'two VMs had one name: the second was renamed');
    return 'renamed';
  }

  async #repairEntry({ name, version }: { name: VmName; version: number }): Promise<'removed' | undefined> {
    const { context, log } = this.#options;
    const entry = await readResource(context, 'vm-name', name);
    if (entry?.version !== version || context.mirror.find('vm', name).length > 0) return undefined;
    const vm = await readResource(context, 'vm', entry.doc.uuid);
    if (vm?.doc.name === name) return undefined;
    try {
      await removeResource(context, { kind: 'vm-name', id: name }, version);
    } catch (error) {
      if (!isAppError(error, 'conflict')) throw error;
      return undefined;
    }
    log.info({ name, vm: entry.doc.uuid }, 'name of a VM that never came was freed');
    return 'removed';
  }
}
