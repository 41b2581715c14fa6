import { parseDomainXml } from '../../common/domain/domain-xml.ts';
import { AppError } from '../../common/errors.ts';
import type { VmId } from '../../common/ids.ts';
import type { VmFigures } from '../../common/schema/vm-statistics.ts';
import type { Domain, DomainStats, GuestDisk, HostInfo, Hypervisor, HypervisorListener, MigrationProgress, MigrationRequest } from '../../node-daemon/drivers/hypervisor.ts';
import { isAlive, missingBridges, toDomain, type SimulatedDomain, type SimulatedHost } from './simulated-hosts.ts';
import { SimulatedMigration } from './simulated-migration.ts';

/** One way to libvirt, and the way to a peer's. */
const CALL_MS = 1;
const PEER_CALL_MS = 5;

/** One daemon's driver of a simulated host: dies with its daemon, and the host lives on. */
export class SimulatedHypervisor implements Hypervisor {
  readonly #host: SimulatedHost;
  readonly #listeners = new Set<HypervisorListener>();
  readonly #links = new Set<SimulatedMigration>();
  #unlisten: (() => void) | undefined;
  #killed = false;

  constructor(host: SimulatedHost) {
    this.#host = host;
  }

  async start(): Promise<void> {
    this.#unlisten ??= this.#host.listen((news) => {
      for (const listener of [...this.#listeners]) {
        if ('domain' in news) listener.domain?.(news.domain);
        else listener.connection?.(news.connection);
      }
    });
    if (this.#host.up) for (const listener of [...this.#listeners]) listener.connection?.('connected');
  }

  async stop(): Promise<void> {
    this.#unlisten?.();
    this.#unlisten = undefined;
    for (const migration of [...this.#links]) migration.abort();
  }

  /** The daemon died at this instant: no answer and no event any more, and its migrations' links break. */
  kill(): void {
    this.#killed = true;
    this.#unlisten?.();
    this.#listeners.clear();
    for (const migration of [...this.#links]) migration.linkBroken();
  }

  listen(listener: HypervisorListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  hostInfo(): Promise<HostInfo> {
    return this.#call(async () => ({ libvirtVersion: '11.3.0', hypervisorVersion: '10.0.2' }));
  }

  list(): Promise<readonly Domain[]> {
    return this.#call(async () => [...this.#host.domains.values()].map(toDomain));
  }

  find(uuid: VmId): Promise<Domain | undefined> {
    return this.#call(async () => {
      const domain = this.#host.domains.get(uuid);
      return domain && toDomain(domain);
    });
  }

  stats(): Promise<readonly DomainStats[]> {
    return this.#call(async () =>
      [...this.#host.domains.values()].filter(isAlive).map(({ uuid, vcpus, memoryMib }) => ({ uuid, vcpus, memoryMib, figures: figuresOf(memoryMib) })),
    );
  }

  create(uuid: VmId, xml: string): Promise<void> {
    return this.#call(() => this.#host.create(uuid, xml));
  }

  disks(uuid: VmId): Promise<readonly GuestDisk[]> {
    return this.#call(async () => {
      const domain = this.#alive(uuid);
      return parseDomainXml(domain.xml).disks.map(({ dev, type, name }) => ({ dev, type, name, sizeBytes: domain.diskSizes.get(dev) }));
    });
  }

  resizeDisk(uuid: VmId, { dev, sizeBytes }: { dev: string; sizeBytes: number }): Promise<void> {
    return this.#call(async () => {
      const domain = this.#alive(uuid);
      const disk = parseDomainXml(domain.xml).disks.find((one) => one.dev === dev);
      if (disk === undefined) throw new AppError('invalid', 'the domain has no such disk', { uuid, dev });
      if (this.#host.migrations.has(uuid)) throw new AppError('timeout', 'the guest is being migrated', { uuid });
      this.#host.hosts.resizeDisk(disk.name, sizeBytes);
      this.#host.change(uuid, { diskSizes: new Map([...domain.diskSizes, [dev, sizeBytes]]) });
    });
  }

  shutdown(uuid: VmId): Promise<void> {
    return this.#call(async () => {
      this.#alive(uuid);
      this.#host.pressPowerButton(uuid);
    });
  }

  resume(uuid: VmId): Promise<void> {
    return this.#call(async () => {
      this.#alive(uuid);
      this.#host.change(uuid, { state: 'running' });
    });
  }

  destroy(uuid: VmId): Promise<void> {
    return this.#call(async () => this.#host.end(uuid, this.#host.hosts.behaviourOf(uuid).destroyedAs));
  }

  forget(uuid: VmId): Promise<void> {
    return this.#call(async () => {
      const domain = this.#host.domains.get(uuid);
      if (isAlive(domain)) throw new AppError('state', 'the definition of a running domain cannot be removed', { uuid });
      this.#host.remove(uuid);
    });
  }

  async migrate(uuid: VmId, request: MigrationRequest, signal: AbortSignal): Promise<void> {
    const target = this.#peer(request.target);
    if (signal.aborted) throw new AppError('cancelled', 'the migration was aborted');
    return this.#call(async () => {
      const domain = this.#alive(uuid);
      if (this.#host.migrations.has(uuid)) throw new AppError('state', 'the guest is being migrated already', { uuid });
      if (this.#host.hosts.behaviourOf(uuid).migrationFailure === 'begin') throw new AppError('component', 'the target refused the guest');
      const refusal = domain.xml === '' ? undefined : missingBridges(target, parseDomainXml(domain.xml).networks)[0];
      if (refusal !== undefined) throw new AppError('component', 'the target refused the guest', { message: refusal });
      if (isAlive(target.domains.get(uuid))) throw new AppError('component', 'the domain runs at the target already');
      const migration = new SimulatedMigration(domain, { source: this.#host, target }, request.maxDowntimeMs);
      const onAbort = (): void => migration.abort();
      signal.addEventListener('abort', onAbort, { once: true });
      this.#links.add(migration);
      migration.begin();
      try {
        await migration.done;
      } finally {
        this.#links.delete(migration);
        signal.removeEventListener('abort', onAbort);
      }
    });
  }

  migrationProgress(uuid: VmId): Promise<MigrationProgress | undefined> {
    return this.#call(async () => this.#host.migrations.get(uuid)?.progress());
  }

  setMaxDowntime(uuid: VmId, maxDowntimeMs: number): Promise<void> {
    return this.#call(async () => {
      const migration = this.#host.migrations.get(uuid);
      if (migration === undefined) throw new AppError('state', 'no migration is under way', { uuid });
      migration.maxDowntimeMs = maxDowntimeMs;
    });
  }

  abortMigration(uuid: VmId): Promise<void> {
    return this.#call(async () => this.#host.migrations.get(uuid)?.abort());
  }

  async findOnPeer(node: string, uuid: VmId): Promise<Domain | undefined> {
    return this.#call(async () => {
      await this.#host.after(PEER_CALL_MS);
      const domain = this.#peer(node).domains.get(uuid);
      return domain && toDomain(domain);
    });
  }

  /** The network between this host and its peers was cut. */
  cutLinks(): void {
    for (const migration of [...this.#links]) migration.linkBroken();
  }

  #peer(node: string): SimulatedHost {
    const host = this.#host.hosts.find(node);
    if (host === undefined || !host.up || !host.reachable || !this.#host.reachable) throw new AppError('unavailable', 'the peer does not answer', { node });
    return host;
  }

  #alive(uuid: VmId): SimulatedDomain {
    const domain = this.#host.domains.get(uuid);
    if (domain === undefined) throw new AppError('not-found', 'no such domain', { uuid });
    if (!isAlive(domain)) throw new AppError('state', 'the domain does not run', { uuid });
    return domain;
  }

  /** A request that was sent is carried out also when the daemon dies meanwhile; only its answer is lost. */
  async #call<T>(work: () => Promise<T>): Promise<T> {
    if (this.#killed) return never();
    await this.#host.after(CALL_MS);
    if (!this.#host.up) throw new AppError('unavailable', 'libvirt is not connected');
    const result = await settled(work);
    await this.#host.after(CALL_MS);
    if (this.#killed) return never();
    if ('error' in result) throw result.error;
    return result.value;
  }
}

/** The same at all times, so that nothing is written of a simulated guest that only runs. */
function figuresOf(memoryMib: number): VmFigures {
  return { cpuNs: [2_000_000, 1_000_000, 1_000_000], memory: { actual: memoryMib * 1_024 }, disks: {}, interfaces: {}, vnc: null };
}

async function settled<T>(work: () => Promise<T>): Promise<{ value: T } | { error: unknown }> {
  try {
    return { value: await work() };
  } catch (error) {
    return { error };
  }
}

/** What a dead process waits for. */
export function never<T>(): Promise<T> {
  return new Promise<T>(() => undefined);
}
