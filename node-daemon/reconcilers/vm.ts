import type { Clock } from '../../common/clock.ts';
import { withClusterInterfaces, withConsoleLog } from '../../common/domain/domain-xml.ts';
import { AppError, describeError, isAppError } from '../../common/errors.ts';
import { vmId, type NodeName, type VmId } from '../../common/ids.ts';
import type { Logger } from '../../common/log.ts';
import type { ClusterMirror } from '../../common/operations/context.ts';
import { isAlive as isNodeAlive } from '../../common/operations/choose-node.ts';
import { readResource, removeResource } from '../../common/operations/update-resource.ts';
import type { VmOperations } from '../../common/operations/vm.ts';
import type { Outcome } from '../../common/reconcile/reconciler.ts';
import { pathOf, type Kind } from '../../common/schema/resources.ts';
import type { GrowthRequest } from '../../common/schema/vm.ts';
import type { VmSpec } from '../../common/schema/vm.ts';
import type { MigrationProgressDoc, VmStatus } from '../../common/schema/vm-status.ts';
import type { Store } from '../../common/store/store.ts';
import type { Hypervisor } from '../drivers/hypervisor.ts';
import { isAlive, type VmStep, type VmView } from '../plans/vm-view.ts';
import { nextVmStep } from '../plans/vm.ts';
import type { VmDiskGrowth } from './vm-disk-growth.ts';
import type { VmDisks } from './vm-disks.ts';
import { VmMigrations } from './vm-migrations.ts';
import type { VmNetworks } from './vm-networks.ts';

/** Steps of one round, at most: a whole life from start over migration to removal has fewer. */
const STEPS_MAX = 24;

/** The mirror shows an own write within milliseconds. */
const MIRROR_WAIT_MS = 5_000;

export interface VmReconcilerDeps {
  me: NodeName;
  store: Store;
  mirror: ClusterMirror;
  hypervisor: Hypervisor;
  operations: Pick<VmOperations, 'keepAt' | 'finishRemoval'>;
  networks: VmNetworks;
  disks: VmDisks;
  growth: VmDiskGrowth;
  clock: Clock;
  log: Logger;
  shutdownTimeoutMs: number;
  migrationTimeoutMs: number;
  /** Serial consoles are logged to `<directory>/<uuid>.log`. */
  consoleDirectory: string;
  /** Puts a VM back into the queue. */
  enqueue: (uuid: VmId) => void;
}

/** Brings the guests of this host to what is wanted of them. The only writer of the status of VMs that this node owns. */
export class VmReconciler {
  readonly #deps: VmReconcilerDeps;
  readonly #migrations: VmMigrations;
  readonly #buttonPressedMs = new Map<VmId, number>();
  /** Domains that this host has or had lately; their VMs concern this node whatever the documents say. */
  readonly #local = new Set<string>();
  /** What a VM's guest is started from; made once for each document. */
  readonly #definitions = new WeakMap<VmSpec, string>();

  constructor(deps: VmReconcilerDeps) {
    this.#deps = deps;
    this.#migrations = new VmMigrations({
      hypervisor: deps.hypervisor,
      clock: deps.clock,
      log: deps.log,
      timeoutMs: deps.migrationTimeoutMs,
      prepare: (uuid, target, signal) => deps.networks.there(target, deps.mirror.get('vm', uuid)?.doc.interfaces ?? [], signal),
      onProgress: (uuid, progress) => this.#writeProgress(uuid, progress),
      onEnded: deps.enqueue,
    });
  }

  /** Learns which domains this host has; before the first round, and whenever libvirt was away. */
  async refreshLocal(): Promise<void> {
    for (const domain of await this.#deps.hypervisor.list()) if (domain.ours) this.noticed(domain.uuid);
  }

  /** All VMs that may concern this node, for the start and the slow sweep. */
  keys(): VmId[] {
    const ids = new Set([...this.#deps.mirror.all('vm').keys(), ...this.#deps.mirror.all('vm-status').keys(), ...this.#local]);
    return Array.from(ids, (id) => vmId.parse(id)).filter((uuid) => this.concerns(uuid));
  }

  /** VMs to look at after a change of this document. */
  keysOf(kind: Kind, id: string): VmId[] {
    if (kind === 'vm' || kind === 'vm-status') {
      const uuid = vmId.safeParse(id);
      return uuid.success && this.concerns(uuid.data) ? [uuid.data] : [];
    }
    if ((kind === 'node' && id === this.#deps.me) || kind === 'presence') return this.#waitingFor(id);
    return [];
  }

  /** A domain of this host has changed. */
  noticed(uuid: VmId): void {
    this.#local.add(uuid);
    this.#deps.enqueue(uuid);
  }

  concerns(uuid: VmId): boolean {
    const { me, mirror } = this.#deps;
    if (this.#local.has(uuid) || mirror.get('vm', uuid)?.doc.node === me) return true;
    const status = mirror.get('vm-status', uuid)?.doc;
    return status?.owner === me || (status?.phase.kind === 'migrating' && status.phase.target === me);
  }

  async stop(): Promise<void> {
    await this.#migrations.stop();
  }

  async reconcile(key: string, signal: AbortSignal): Promise<Outcome> {
    const uuid = vmId.parse(key);
    let located: VmView['located'];
    for (let count = 0; count < STEPS_MAX; count += 1) {
      if (signal.aborted) return { kind: 'done' };
      const view = { ...(await this.#observe(uuid)), located };
      const step = nextVmStep(view);
      if (step.kind === 'settled') return { kind: 'done' };
      if (step.kind === 'recheck') return step;
      if (step.kind === 'abort-migration') return this.#abortMigration(uuid);
      if (step.kind === 'locate-on-target') located = await this.#locate(uuid, step.target);
      else await this.#execute(uuid, view, step);
    }
    return { kind: 'recheck', afterMs: 1_000, why: 'many steps at once' };
  }

  async #observe(uuid: VmId): Promise<VmView> {
    const { me, mirror, hypervisor, clock } = this.#deps;
    const domain = await hypervisor.find(uuid);
    const spec = mirror.get('vm', uuid);
    const status = mirror.get('vm-status', uuid);
    if (domain === undefined) this.#local.delete(uuid);
    else this.#local.add(uuid);
    if (status?.doc.phase.kind !== 'migrating') this.#migrations.forget(uuid);
    return {
      me,
      spec,
      status,
      domain,
      migration: this.#migrations.state(uuid),
      fresh: mirror.staleForMs() === 0,
      ready: mirror.get('node', me)?.doc.domains.wish === 'ready',
      targetAlive: spec !== undefined && isNodeAlive(mirror, spec.doc.node),
      located: undefined,
      nowMs: clock.nowMs(),
      shutdownTimeoutMs: this.#deps.shutdownTimeoutMs,
      buttonPressedMs: this.#buttonPressedMs.get(uuid),
    };
  }

  async #execute(uuid: VmId, view: VmView, step: Exclude<VmStep, { kind: 'settled' | 'recheck' | 'locate-on-target' | 'abort-migration' }>): Promise<void> {
    const { hypervisor, operations } = this.#deps;
    switch (step.kind) {
      case 'write-status': {
        const written = this.#writeStatus(uuid, view, step.status);
        if (view.domain === undefined && step.status.owner === view.me) this.#prepare(view.spec?.doc);
        return written;
      }
      case 'remove-status':
        return this.#removeStatus(uuid, view);
      case 'create':
        return this.#create(uuid, view);
      case 'press-power-button':
        return this.#pressPowerButton(uuid);
      case 'resume':
        return hypervisor.resume(uuid);
      case 'destroy':
        return hypervisor.destroy(uuid);
      case 'destroy-stray':
        return this.#destroyStray(uuid, view);
      case 'forget':
        return hypervisor.forget(uuid);
      case 'grow-disks':
        return this.#growDisks(uuid, view, step.growth);
      case 'migrate':
        return this.#migrate(uuid, view, step);
      case 'keep-here':
        return operations.keepAt(uuid, { node: view.me, generation: step.generation });
      case 'finish-removal':
        return operations.finishRemoval(uuid);
    }
  }

  async #writeStatus(uuid: VmId, view: VmView, status: VmStatus): Promise<void> {
    const path = pathOf('vm-status', uuid);
    const entry = view.status === undefined ? await this.#deps.store.create(path, status) : await this.#deps.store.update(path, status, view.status.version);
    this.#deps.log.info({ vm: uuid, owner: status.owner, epoch: status.epoch, phase: status.phase.kind }, 'status written');
    await this.#deps.mirror.waitFor('vm-status', uuid, entry.version, { timeoutMs: MIRROR_WAIT_MS });
  }

  async #removeStatus(uuid: VmId, view: VmView): Promise<void> {
    if (view.status === undefined) return;
    await removeResource(this.#deps, { kind: 'vm-status', id: uuid }, view.status.version);
    await this.#deps.mirror.waitFor('vm-status', uuid, 'gone', { timeoutMs: MIRROR_WAIT_MS });
  }

  /** A claim is followed by the start, and reading XML takes milliseconds: it is read while the store writes. */
  #prepare(spec: VmSpec | undefined): void {
    try {
      if (spec !== undefined) this.#definition(spec);
    } catch (error) {
      this.#deps.log.debug({ vm: spec?.uuid, error: describeError(error) }, 'the start will tell what is wrong with the definition');
    }
  }

  /** The definition with its console's log. */
  #definition(spec: VmSpec): string {
    const held = this.#definitions.get(spec);
    if (held !== undefined) return held;
    const made = withConsoleLog(spec.xml, `${this.#deps.consoleDirectory}/${spec.uuid}.log`);
    this.#definitions.set(spec, made);
    return made;
  }

  /** A refusal by libvirt, a network that does not come up, or disks that are not ready, is the VM's failure; a libvirt that does not answer is tried again. */
  async #create(uuid: VmId, view: VmView): Promise<void> {
    const { hypervisor } = this.#deps;
    const { spec, status } = view;
    if (spec === undefined || status === undefined) return;
    try {
      const mtus = await this.#deps.networks.here(spec.doc.interfaces);
      const logged = this.#definition(spec.doc);
      const xml = spec.doc.interfaces.length === 0 ? logged : withClusterInterfaces(logged, mtus);
      await hypervisor.create(uuid, await this.#deps.disks.ready(xml));
    } catch (error) {
      if (!isAppError(error, 'component', 'invalid', 'state')) throw error;
      this.#deps.log.warn({ vm: uuid, error: describeError(error) }, 'the guest could not be started');
      await hypervisor.forget(uuid);
      const failed: VmStatus = { ...status.doc, owner: null, epoch: status.doc.epoch + 1, phase: { kind: 'failed', reason: describeError(error) }, startedVersion: null };
      await this.#writeStatus(uuid, view, failed);
    }
  }

  async #growDisks(uuid: VmId, view: VmView, growth: GrowthRequest): Promise<void> {
    if (view.status === undefined) return;
    await this.#deps.growth.tell(uuid, growth.sizes);
    await this.#writeStatus(uuid, view, { ...view.status.doc, growthGeneration: growth.generation });
  }

  async #pressPowerButton(uuid: VmId): Promise<void> {
    this.#buttonPressedMs.set(uuid, this.#deps.clock.nowMs());
    await this.#deps.hypervisor.shutdown(uuid);
  }

  /** The one irreversible act against a guest that we think is not ours: the store itself is asked before. */
  async #destroyStray(uuid: VmId, view: VmView): Promise<void> {
    const { store, log, hypervisor } = this.#deps;
    await store.sync();
    const spec = await readResource({ store }, 'vm', uuid);
    const status = await readResource({ store }, 'vm-status', uuid);
    const domain = await hypervisor.find(uuid);
    if (nextVmStep({ ...view, spec, status, domain }).kind !== 'destroy-stray') {
      throw new AppError('conflict', 'the mirror was behind the store; looking again', { vm: uuid });
    }
    log.warn({ vm: uuid, owner: status?.doc.owner ?? null }, 'stopping a guest that this node does not own');
    await hypervisor.destroy(uuid);
  }

  /** The document says that bytes may flow before any does, so that a daemon started again knows. */
  async #migrate(uuid: VmId, view: VmView, step: Extract<VmStep, { kind: 'migrate' }>): Promise<void> {
    const { spec, status } = view;
    if (spec === undefined || status === undefined) return;
    const progress: MigrationProgressDoc = { bytesTotal: 0, bytesProcessed: 0, bytesRemaining: 0, pass: 0, elapsedMs: 0 };
    await this.#writeStatus(uuid, view, { ...status.doc, phase: { kind: 'migrating', target: step.target, progress } });
    this.#migrations.start(uuid, { target: step.target, generation: step.generation, maxDowntimeMs: spec.doc.migrationMaxDowntimeMs });
  }

  async #abortMigration(uuid: VmId): Promise<Outcome> {
    this.#migrations.abort(uuid);
    await this.#deps.hypervisor.abortMigration(uuid);
    return { kind: 'recheck', afterMs: 1_000, why: 'the migration is being aborted' };
  }

  async #locate(uuid: VmId, target: NodeName): Promise<VmView['located']> {
    const domain = await this.#deps.hypervisor.findOnPeer(target, uuid);
    // libvirt there is about to let it run, or to give it up.
    if (domain?.incoming === true) throw new AppError('unavailable', 'the target has not decided about the arriving guest', { vm: uuid, target });
    return isAlive(domain) && domain.state === 'running' && !domain.incoming ? 'running' : 'absent';
  }

  async #writeProgress(uuid: VmId, progress: MigrationProgressDoc): Promise<void> {
    const status = this.#deps.mirror.get('vm-status', uuid);
    if (status?.doc.owner !== this.#deps.me || status.doc.phase.kind !== 'migrating') return;
    await this.#deps.store.update(pathOf('vm-status', uuid), { ...status.doc, phase: { ...status.doc.phase, progress } }, status.version);
  }

  /** VMs of ours that wait for this node to be ready, or that move to it. */
  #waitingFor(node: string): VmId[] {
    return Array.from(this.#deps.mirror.all('vm').values(), ({ doc }) => doc)
      .filter((spec) => spec.node === node && this.concerns(spec.uuid))
      .map((spec) => spec.uuid);
  }
}
