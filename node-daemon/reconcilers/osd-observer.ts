import type { Clock } from '../../common/clock.ts';
import { AppError } from '../../common/errors.ts';
import type { OsdId, OsdSpec, OsdStatus, OsdUuid } from '../../common/schema/osd.ts';
import type { Task } from '../../common/schema/task.ts';
import type { BlockDevices, DeviceFacts } from '../drivers/block-device.ts';
import type { ClusterOsd, OsdCluster } from '../drivers/osd-cluster.ts';
import type { OsdService, OsdServiceState } from '../drivers/osd-service.ts';
import type { OsdFolder, OsdStore } from '../drivers/osd-store.ts';
import { drainView, remembered, type DrainMemory } from '../plans/osd-drain.ts';
import { hasFailed, type KeptOsdView, type OsdAction, type OsdDrainView, type OsdLimits, type OsdView } from '../plans/osd.ts';

/** The world that OSDs of a node live in. */
export interface OsdWorld {
  readonly cluster: OsdCluster;
  readonly devices: BlockDevices;
  readonly store: OsdStore;
  readonly service: OsdService;
}

/** Where an OSD's data is, besides what is known of it. */
export interface SeenOsd {
  readonly id: OsdId | undefined;
  /** The device that holds it, by a name that stays; else the one that was asked for. */
  readonly deviceName: string;
  /** The OSD whose label is on that device; null: none. */
  readonly label: OsdUuid | null;
}

/** Looks at one OSD from all sides. Remembers only since when something has been so. */
export class OsdObserver {
  readonly #world: OsdWorld;
  readonly #clock: Clock;
  readonly #limits: OsdLimits;
  readonly #drains = new Map<OsdUuid, DrainMemory>();
  readonly #joins = new Map<OsdUuid, number>();

  constructor(deps: { world: OsdWorld; clock: Clock; limits: OsdLimits }) {
    this.#world = deps.world;
    this.#clock = deps.clock;
    this.#limits = deps.limits;
  }

  forget(uuid: OsdUuid): void {
    this.#drains.delete(uuid);
    this.#joins.delete(uuid);
  }

  /** For the work of a task. */
  async look(asked: { spec: OsdSpec; status: OsdStatus | undefined; task: Task; exhausted: ReadonlyMap<OsdAction, string> }, signal: AbortSignal): Promise<{ view: OsdView; seen: SeenOsd }> {
    const { spec, status, task, exhausted } = asked;
    const cluster = await this.#world.cluster.find(spec.uuid, signal);
    const id = cluster?.id ?? (status?.uuid === spec.uuid ? (status.id ?? undefined) : undefined);
    const host = await this.#host(spec, id, signal);
    const drain = cluster === undefined || spec.removal?.force !== false || hasFailed(task) ? undefined : await this.#drain(spec.uuid, cluster, signal);
    // One that never had a number has put nothing into the tree.
    const isGone = cluster === undefined && id !== undefined && (spec.removal !== null || hasFailed(task));
    const hostIsEmpty = isGone && (await this.#world.cluster.isHostEmpty(spec.node, signal));
    const { device, folder, service, beingMade } = host;
    const label = labelOf(device);
    const holds = spec.zap && cluster === undefined && label !== null && label !== spec.uuid ? await this.#world.cluster.find(label, signal) : undefined;
    const view = { spec, task, cluster, device, holds, folder, service, beingMade, hostIsEmpty, drain, joiningMs: this.#joining(spec.uuid, cluster, service), exhausted, limits: this.#limits };
    return { view, seen: { id, deviceName: host.deviceName, label } };
  }

  /** For an OSD that shall run, without a word from the cluster. */
  async lookAtKept(spec: OsdSpec, id: OsdId, signal: AbortSignal): Promise<{ view: KeptOsdView; seen: SeenOsd }> {
    const { device, service, deviceName } = await this.#host(spec, id, signal);
    return { view: { spec, device, service }, seen: { id, deviceName, label: labelOf(device) } };
  }

  async #host(spec: OsdSpec, id: OsdId | undefined, signal: AbortSignal): Promise<{ device: DeviceFacts; deviceName: string; folder: OsdFolder | undefined; service: OsdServiceState; beingMade: boolean }> {
    const folder = id === undefined ? undefined : await this.#world.store.folder(id);
    const isOurs = folder?.uuid === spec.uuid;
    const { device, deviceName } = await this.#device(spec, isOurs ? folder.device : null, signal);
    const service = id === undefined || !isOurs ? 'stopped' : await this.#world.service.state(id, signal);
    return { device, deviceName, folder, service, beingMade: await this.#world.store.isBeingMade(spec.uuid) };
  }

  /** The kernel may have given the asked name to another disk meanwhile; the folder's link has a name that stays. */
  async #device(spec: OsdSpec, linked: string | null, signal: AbortSignal): Promise<{ device: DeviceFacts; deviceName: string }> {
    const { devices } = this.#world;
    for (const name of linked === null ? [spec.device] : [linked, spec.device]) {
      const device = await devices.facts(name, signal);
      if (device.kind === 'device' && device.label?.uuid === spec.uuid) return { device, deviceName: await devices.stableName(name) };
    }
    const device = await devices.facts(spec.device, signal);
    return { device, deviceName: device.kind === 'device' ? await devices.stableName(spec.device) : spec.device };
  }

  async #drain(uuid: OsdUuid, cluster: ClusterOsd, signal: AbortSignal): Promise<OsdDrainView> {
    const drain = await this.#world.cluster.drain(cluster.id, signal);
    const nowMs = this.#clock.monotonicMs();
    const before = this.#drains.get(uuid);
    const now = remembered(before, { drain, isOut: !cluster.in, nowMs });
    this.#drains.set(uuid, now);
    return drainView(drain, now, nowMs);
  }

  #joining(uuid: OsdUuid, cluster: ClusterOsd | undefined, service: OsdServiceState): number {
    if (service !== 'running' || cluster?.up !== false) {
      this.#joins.delete(uuid);
      return 0;
    }
    const sinceMs = this.#joins.get(uuid) ?? this.#clock.monotonicMs();
    this.#joins.set(uuid, sinceMs);
    return this.#clock.monotonicMs() - sinceMs;
  }
}

function labelOf(device: DeviceFacts): OsdUuid | null {
  return device.kind === 'device' ? (device.label?.uuid ?? null) : null;
}

/** @throws AppError 'bug' without a number. */
export function numberOf({ id }: SeenOsd): OsdId {
  if (id === undefined) throw new AppError('bug', 'the OSD has no number yet');
  return id;
}
