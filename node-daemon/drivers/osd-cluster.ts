import { z } from 'zod';
import { osdId, type OsdId, type OsdUuid } from '../../common/schema/osd.ts';

/** Commands of Ceph's monitors and manager, by the names and arguments of `ceph`'s own command table; the answers are JSON. */
export interface CephCommands {
  /** @param input goes with the command; the place for secrets. */
  mon(command: Readonly<Record<string, unknown>>, signal?: AbortSignal, input?: string): Promise<unknown>;
  mgr(command: Readonly<Record<string, unknown>>, signal?: AbortSignal): Promise<unknown>;
}

/** What the cluster knows of one OSD. */
export interface ClusterOsd {
  readonly id: OsdId;
  readonly up: boolean;
  readonly in: boolean;
  /** Where CRUSH has it; null: nowhere. */
  readonly place: OsdPlace | null;
}

export interface OsdPlace {
  readonly host: string;
  readonly weight: number;
}

/** Whether the cluster can do without one OSD. */
export interface OsdDrain {
  /** The manager says that its removal takes no copy of anything that the cluster still needs. */
  readonly safe: boolean;
  /** Placement groups that it still holds. */
  readonly groups: number;
  /** Something in the cluster is being copied or is about to be. */
  readonly moving: boolean;
  /** Other OSDs that are up and in. */
  readonly others: number;
  /**
   * What the manager says rests on reports of OSDs, which come every few seconds (mgr_stats_period): for each of the others the number of the
   * last one, which grows; null: none yet. Empty unless it is safe.
   */
  readonly reports: ReadonlyMap<OsdId, number | null>;
}

/** The cluster's side of OSDs. Each change may be repeated. Fails with 'unavailable' and 'timeout' without a quorum, 'component' when refused. */
export interface OsdCluster {
  find(uuid: OsdUuid, signal: AbortSignal): Promise<ClusterOsd | undefined>;
  /** Gets a number for the UUID, and makes the OSD's key known. The same UUID with the same key has the same number. */
  register(osd: { uuid: OsdUuid; secret: string }, signal: AbortSignal): Promise<OsdId>;
  /** Puts it into CRUSH's tree, below a host of this name. */
  place(id: OsdId, place: OsdPlace, signal: AbortSignal): Promise<void>;
  /** Whether CRUSH's tree has a host of this name where `place` puts one, with nothing in it. One that somebody has put elsewhere, into a rack, is not meant. */
  isHostEmpty(host: string, signal: AbortSignal): Promise<boolean>;
  /** Removes such a host. Fails with 'state' when there is something in it. */
  removeHost(host: string, signal: AbortSignal): Promise<void>;
  drain(id: OsdId, signal: AbortSignal): Promise<OsdDrain>;
  setIn(id: OsdId, isIn: boolean, signal: AbortSignal): Promise<void>;
  /**
   * Takes it out of everything: CRUSH, keys, the OSD map. It must not run.
   * @throws AppError 'state' or 'component' without `force`, when the manager holds that data would be lost.
   */
  purge(osd: { id: OsdId; force: boolean }, signal: AbortSignal): Promise<void>;
}

/** Of CRUSH's tree, which every cluster has from its beginning. */
const ROOT = 'default';

const flagNumber = z.union([z.literal(0), z.literal(1)]).transform((one) => one === 1);
const osdDump = z.object({ osds: z.array(z.object({ osd: osdId, uuid: z.string(), up: flagNumber, in: flagNumber })) });
const osdTree = z.object({
  nodes: z.array(z.object({ id: z.int(), name: z.string(), type: z.string(), crush_weight: z.number().optional(), children: z.array(z.int()).optional() })),
});
const created = z.object({ osdid: osdId });
const safety = z.object({ safe_to_destroy: z.array(z.int()) });
const usage = z.object({ nodes: z.array(z.object({ id: z.int(), pgs: z.int() })) });
/** The number of a report is 2^32 times the epoch of the OSD's start, and one more with each (OSDService::get_osd_stat in Ceph's src/osd/OSD.h). */
const reported = z.object({ osd_stats: z.array(z.object({ osd: osdId, seq: z.number() })) });
const status = z.object({ pgmap: z.object({ pgs_by_state: z.array(z.object({ state_name: z.string(), count: z.int() })) }) });

/** Parts of a placement group's state (docs.ceph.com, "Placement Group States") that pass by themselves, by copying or without. */
const MOVING = new Set(['backfilling', 'backfill_wait', 'recovering', 'recovery_wait', 'forced_backfill', 'forced_recovery', 'peering', 'activating', 'creating', 'unknown', 'wait']);

export function isMovingState(name: string): boolean {
  return name.split('+').some((part) => MOVING.has(part));
}

/** The cluster over its own commands. */
export class CephOsdCluster implements OsdCluster {
  readonly #ceph: CephCommands;

  constructor(ceph: CephCommands) {
    this.#ceph = ceph;
  }

  async find(uuid: OsdUuid, signal: AbortSignal): Promise<ClusterOsd | undefined> {
    const osd = await this.#entry((one) => one.uuid === uuid, signal);
    return osd === undefined ? undefined : { id: osd.osd, up: osd.up, in: osd.in, place: await this.#place(osd.osd, signal) };
  }

  async register({ uuid, secret }: { uuid: OsdUuid; secret: string }, signal: AbortSignal): Promise<OsdId> {
    return created.parse(await this.#ceph.mon({ prefix: 'osd new', uuid, format: 'json' }, signal, JSON.stringify({ cephx_secret: secret }))).osdid;
  }

  async place(id: OsdId, { host, weight }: OsdPlace, signal: AbortSignal): Promise<void> {
    await this.#ceph.mon({ prefix: 'osd crush add', id, weight, args: [`host=${host}`, `root=${ROOT}`] }, signal);
  }

  async isHostEmpty(host: string, signal: AbortSignal): Promise<boolean> {
    const { nodes } = osdTree.parse(await this.#ceph.mon({ prefix: 'osd tree', format: 'json' }, signal));
    const root = nodes.find(({ type, name }) => type === 'root' && name === ROOT);
    const found = nodes.find(({ type, name }) => type === 'host' && name === host);
    return found !== undefined && root?.children?.includes(found.id) === true && (found.children ?? []).length === 0;
  }

  async removeHost(host: string, signal: AbortSignal): Promise<void> {
    await this.#ceph.mon({ prefix: 'osd crush rm', name: host }, signal);
  }

  async drain(id: OsdId, signal: AbortSignal): Promise<OsdDrain> {
    const [safe, used, now, dump] = await Promise.all([
      this.#ceph.mgr({ prefix: 'osd safe-to-destroy', ids: [String(id)], format: 'json' }, signal),
      this.#ceph.mgr({ prefix: 'osd df', output_method: 'plain', format: 'json' }, signal),
      this.#ceph.mon({ prefix: 'status', format: 'json' }, signal),
      this.#ceph.mon({ prefix: 'osd dump', format: 'json' }, signal),
    ]);
    const others = osdDump.parse(dump).osds.filter((osd) => osd.osd !== id && osd.up && osd.in);
    const isSafe = safety.parse(safe).safe_to_destroy.includes(id);
    return {
      safe: isSafe,
      groups: usage.parse(used).nodes.find((node) => node.id === id)?.pgs ?? 0,
      moving: status.parse(now).pgmap.pgs_by_state.some(({ state_name: name }) => isMovingState(name)),
      others: others.length,
      reports: isSafe ? await this.#reports(others.map((osd) => osd.osd), signal) : new Map(),
    };
  }

  async setIn(id: OsdId, isIn: boolean, signal: AbortSignal): Promise<void> {
    await this.#ceph.mon({ prefix: isIn ? 'osd in' : 'osd out', ids: [String(id)] }, signal);
  }

  /** Ceph purges only what is down; what has just been ended is told so rather than waited for. The command is the manager's, who looks at the data. */
  async purge({ id, force }: { id: OsdId; force: boolean }, signal: AbortSignal): Promise<void> {
    await this.#ceph.mon({ prefix: 'osd down', ids: [String(id)] }, signal);
    await this.#ceph.mgr({ prefix: 'osd purge', id, yes_i_really_mean_it: true, ...(force ? { force } : {}) }, signal);
  }

  async #reports(ids: readonly OsdId[], signal: AbortSignal): Promise<Map<OsdId, number | null>> {
    const { osd_stats: stats } = reported.parse(await this.#ceph.mgr({ prefix: 'pg dump', dumpcontents: ['osds'], format: 'json' }, signal));
    const numbers = new Map(stats.map(({ osd, seq }) => [osd, seq]));
    return new Map(ids.map((id) => [id, numbers.get(id) ?? null]));
  }

  async #entry(fits: (osd: z.output<typeof osdDump>['osds'][number]) => boolean, signal: AbortSignal): Promise<z.output<typeof osdDump>['osds'][number] | undefined> {
    return osdDump.parse(await this.#ceph.mon({ prefix: 'osd dump', format: 'json' }, signal)).osds.find(fits);
  }

  async #place(id: OsdId, signal: AbortSignal): Promise<OsdPlace | null> {
    const { nodes } = osdTree.parse(await this.#ceph.mon({ prefix: 'osd tree', format: 'json' }, signal));
    const host = nodes.find((node) => node.type === 'host' && node.children?.includes(id) === true);
    const weight = nodes.find((node) => node.id === id)?.crush_weight;
    return host === undefined || weight === undefined ? null : { host: host.name, weight };
  }
}
