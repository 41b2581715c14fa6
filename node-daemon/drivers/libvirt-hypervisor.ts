import { rm } from 'node:fs/promises';
import type { Duplex } from 'node:stream';
import type { Clock } from '../../common/clock.ts';
import { AppError, describeError, isAppError } from '../../common/errors.ts';
import type { VmId } from '../../common/ids.ts';
import { vmId } from '../../common/ids.ts';
import { LibvirtConnection, type CallLimit } from '../../common/libvirt/connection.ts';
import { BLOCK_RESIZE_BYTES, JOB_OPERATION, LIFECYCLE_EVENT, SHUTDOWN_ACPI_POWER_BUTTON, UNDEFINE } from '../../common/libvirt/constants.ts';
import { unixDial } from '../../common/libvirt/dial.ts';
import { refOf, type DomainRef } from '../../common/libvirt/domain-ref.ts';
import { PROCEDURES, type LibvirtEvent } from '../../common/libvirt/procedures.ts';
import { SshLink, type SshPeer } from '../../common/libvirt/ssh-link.ts';
import { numberOf } from '../../common/libvirt/typed-param.ts';
import type { Logger } from '../../common/log.ts';
import { readGuestDisks } from './domain-disks.ts';
import { DomainFigures } from './domain-figures.ts';
import { markDomain } from './domain-mark.ts';
import { DomainMarks, QUERY_LIMIT, readDomain, readDomains } from './domain-view.ts';
import type { Domain, DomainStats, GuestDisk, HostInfo, Hypervisor, HypervisorListener, MigrationProgress, MigrationRequest } from './hypervisor.ts';
import { LibvirtSession, OnDemandConnection } from './libvirt-session.ts';
import { findMemorySockets, MigrationLink, prepareMigrationFolders, removeControlSockets } from './migration-link.ts';
import { OutgoingMigration } from './outgoing-migration.ts';

export type Peer = SshPeer;

export interface LibvirtHypervisorDeps {
  clock: Clock;
  log: Logger;
  /** How another node is reached, undefined when it is not known. Asked again for every new connection. */
  peers: (node: string) => Peer | undefined;
  /** File of this node's private key, which the peers accept. */
  privateKeyFile: string;
  /** Path of libvirt's read-write socket, the same on every node. */
  libvirtSocket: string;
  /** Where this host's file system is seen; empty unless the daemon runs outside of the host. */
  hostRoot?: string;
  /** Opens the stream that ssh speaks over; TCP unless a test says otherwise. */
  transport?: (peer: Peer) => Duplex;
}

const LIBVIRT_URI = 'qemu:///system';

/** A start opens the guest's disks and waits for QEMU; libvirt itself gives QEMU's monitor 30 s and more. */
const START_LIMIT: CallLimit = { timeoutMs: 120_000 };

/** libvirt waits 15 s for SIGTERM and 30 s more for SIGKILL when storage hangs. */
const STOP_LIMIT: CallLimit = { timeoutMs: 90_000 };

/** QEMU stops the guest until Ceph has answered; libvirt waits 30 s itself while the guest is being migrated. */
const RESIZE_LIMIT: CallLimit = { timeoutMs: 45_000 };

const QUICK_LIMIT: CallLimit = { timeoutMs: 30_000 };

/** Everything that belongs to a definition goes with it. */
const UNDEFINE_ALL = UNDEFINE.managedSave | UNDEFINE.snapshotsMetadata | UNDEFINE.nvram | UNDEFINE.checkpointsMetadata | UNDEFINE.tpm;

/** The guest's firmware variables and TPM stay: the definition is only replaced. */
const UNDEFINE_TO_REPLACE = UNDEFINE.managedSave | UNDEFINE.snapshotsMetadata | UNDEFINE.keepNvram | UNDEFINE.checkpointsMetadata | UNDEFINE.keepTpm;

interface PeerLink {
  peer: Peer;
  ssh: SshLink;
  libvirt: OnDemandConnection;
}

/** The QEMU driver of this host's libvirt, over its RPC. */
export class LibvirtHypervisor implements Hypervisor {
  readonly #deps: LibvirtHypervisorDeps;
  readonly #hostRoot: string;
  readonly #session: LibvirtSession;
  readonly #lifecycle: OnDemandConnection;
  readonly #marks = new DomainMarks();
  readonly #figures: DomainFigures;
  readonly #listeners = new Set<HypervisorListener>();
  readonly #peerLinks = new Map<string, PeerLink>();
  readonly #migrations = new Map<VmId, OutgoingMigration | 'starting'>();
  readonly #stopping = new AbortController();
  #tidying: Promise<void> = Promise.resolve();

  constructor(deps: LibvirtHypervisorDeps) {
    this.#deps = deps;
    this.#hostRoot = deps.hostRoot ?? '';
    const connection = { dial: unixDial(this.#hostRoot + deps.libvirtSocket), clock: deps.clock, uri: LIBVIRT_URI };
    this.#session = new LibvirtSession(
      { ...connection, log: deps.log },
      { event: (event) => this.#onEvent(event), state: (state) => this.#onConnection(state) },
    );
    this.#lifecycle = new OnDemandConnection(connection);
    this.#figures = new DomainFigures(deps.log);
  }

  /** Resolves whether libvirt answers or not: listeners are told when it does. */
  async start(signal: AbortSignal): Promise<void> {
    await this.#prepareFolders();
    await this.#session.start(signal);
    await this.#tidying;
  }

  /** Ends the migrations that are under way; their guests stay here. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#session.stop();
    await this.#lifecycle.stop();
    await Promise.all([...this.#peerLinks.keys()].map((node) => this.#dropLink(node)));
  }

  listen(listener: HypervisorListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async hostInfo(): Promise<HostInfo> {
    const connection = this.#session.connection();
    const [libvirt, hypervisor] = await Promise.all([
      connection.call(PROCEDURES.connectGetLibVersion, undefined, QUERY_LIMIT),
      connection.call(PROCEDURES.connectGetVersion, undefined, QUERY_LIMIT),
    ]);
    return { libvirtVersion: versionText(libvirt), hypervisorVersion: versionText(hypervisor) };
  }

  async list(): Promise<readonly Domain[]> {
    return readDomains(this.#session.connection(), this.#marks);
  }

  async find(uuid: VmId): Promise<Domain | undefined> {
    return readDomain(this.#session.connection(), uuid, this.#marks);
  }

  async stats(): Promise<readonly DomainStats[]> {
    return this.#figures.read(this.#session.connection());
  }

  async create(uuid: VmId, xml: string): Promise<void> {
    const marked = markDomain(uuid, xml);
    const connection = await this.#lifecycle.get();
    try {
      await define(connection, uuid, marked);
      this.#marks.forget(uuid);
      await connection.call(PROCEDURES.domainCreateWithFlags, { domain: refOf(uuid), flags: 0 }, START_LIMIT);
    } catch (error) {
      const runs = isAppError(error, 'state') && ((await lookup(connection, uuid))?.id ?? -1) >= 0;
      if (!runs) throw error;
    }
  }

  async disks(uuid: VmId): Promise<readonly GuestDisk[]> {
    return readGuestDisks(await this.#lifecycle.get(), uuid);
  }

  async resizeDisk(uuid: VmId, { dev, sizeBytes }: { dev: string; sizeBytes: number }): Promise<void> {
    const args = { domain: refOf(uuid), flags: BLOCK_RESIZE_BYTES, disk: dev, sizeBytes };
    await (await this.#lifecycle.get()).call(PROCEDURES.domainBlockResize, args, RESIZE_LIMIT);
  }

  async shutdown(uuid: VmId): Promise<void> {
    const connection = await this.#lifecycle.get();
    await connection.call(PROCEDURES.domainShutdownFlags, { domain: refOf(uuid), flags: SHUTDOWN_ACPI_POWER_BUTTON }, QUICK_LIMIT);
  }

  async resume(uuid: VmId): Promise<void> {
    const connection = await this.#lifecycle.get();
    try {
      await connection.call(PROCEDURES.domainResume, refOf(uuid), QUICK_LIMIT);
    } catch (error) {
      const runs = isAppError(error, 'state') && (await readDomain(connection, uuid, this.#marks))?.state === 'running';
      if (!runs) throw error;
    }
  }

  /** While libvirtd takes its guests up again after a restart, one that is destroyed may be called crashed. */
  async destroy(uuid: VmId): Promise<void> {
    const connection = await this.#lifecycle.get();
    await ignoring(['not-found', 'state'], connection.call(PROCEDURES.domainDestroyFlags, { domain: refOf(uuid), flags: 0 }, STOP_LIMIT));
  }

  async forget(uuid: VmId): Promise<void> {
    const connection = await this.#lifecycle.get();
    const domain = await lookup(connection, uuid);
    if (domain === undefined) return;
    // libvirt would make a running domain transient, and it would vanish with its end.
    if (domain.id >= 0) throw new AppError('state', 'the definition of a running domain cannot be removed', { uuid });
    await ignoring(['not-found'], connection.call(PROCEDURES.domainUndefineFlags, { domain, flags: UNDEFINE_ALL }, QUICK_LIMIT));
    this.#marks.forget(uuid);
  }

  async migrate(uuid: VmId, request: MigrationRequest, signal: AbortSignal): Promise<void> {
    if (this.#migrations.has(uuid)) throw new AppError('state', 'the guest is being migrated already', { uuid });
    this.#migrations.set(uuid, 'starting');
    try {
      await this.#migrate(uuid, request, AbortSignal.any([signal, this.#stopping.signal]));
    } finally {
      this.#migrations.delete(uuid);
    }
  }

  async migrationProgress(uuid: VmId): Promise<MigrationProgress | undefined> {
    const connection = this.#connectionOf(uuid);
    const job = await ignoring(['not-found', 'state'], connection.call(PROCEDURES.domainGetJobStats, { domain: refOf(uuid), flags: 0 }, QUERY_LIMIT));
    if (job === undefined || numberOf(job.params, 'operation') !== JOB_OPERATION.migrationOut) return undefined;
    return {
      bytesTotal: numberOf(job.params, 'data_total') ?? 0,
      bytesProcessed: numberOf(job.params, 'data_processed') ?? 0,
      bytesRemaining: numberOf(job.params, 'data_remaining') ?? 0,
      pass: numberOf(job.params, 'memory_iteration') ?? 0,
      elapsedMs: numberOf(job.params, 'time_elapsed') ?? 0,
    };
  }

  async setMaxDowntime(uuid: VmId, maxDowntimeMs: number): Promise<void> {
    const args = { domain: refOf(uuid), flags: 0, downtimeMs: maxDowntimeMs };
    await this.#connectionOf(uuid).call(PROCEDURES.domainMigrateSetMaxDowntime, args, QUICK_LIMIT);
  }

  async abortMigration(uuid: VmId): Promise<void> {
    const migration = this.#migrations.get(uuid);
    if (migration !== undefined && migration !== 'starting') return migration.abort();
    // One that an earlier daemon began.
    await ignoring(['not-found', 'state'], this.#session.connection().call(PROCEDURES.domainAbortJob, refOf(uuid), QUICK_LIMIT));
  }

  async findOnPeer(node: string, uuid: VmId): Promise<Domain | undefined> {
    const connection = await (await this.#linkTo(node)).libvirt.get();
    return readDomain(connection, uuid, new DomainMarks());
  }

  async #migrate(uuid: VmId, request: MigrationRequest, signal: AbortSignal): Promise<void> {
    const { clock, log, libvirtSocket } = this.#deps;
    const { ssh } = await this.#linkTo(request.target);
    const connection = await LibvirtConnection.open({ dial: unixDial(this.#hostRoot + libvirtSocket), clock, uri: LIBVIRT_URI }, signal);
    try {
      const domain = await connection.call(PROCEDURES.domainLookupByUuid, uuid, QUERY_LIMIT);
      const link = new MigrationLink({ hostRoot: this.#hostRoot, log }, { ssh, libvirtSocket, domainName: domain.name });
      const migration = new OutgoingMigration({ clock, connection, link, domain });
      this.#migrations.set(uuid, migration);
      try {
        await link.start();
        await migration.run(request, signal);
      } finally {
        await link.stop();
      }
    } finally {
      connection.close();
    }
  }

  /** The migration's own connection, so that its questions do not wait behind others; after a restart there is none. */
  #connectionOf(uuid: VmId): LibvirtConnection {
    const migration = this.#migrations.get(uuid);
    return migration === undefined || migration === 'starting' ? this.#session.connection() : migration.connection;
  }

  async #linkTo(node: string): Promise<PeerLink> {
    const peer = this.#deps.peers(node);
    if (peer === undefined) throw new AppError('unavailable', 'the address of the peer is not known', { node });
    const known = this.#peerLinks.get(node);
    if (known !== undefined && JSON.stringify(known.peer) === JSON.stringify(peer)) return known;
    const { clock, privateKeyFile, libvirtSocket, transport } = this.#deps;
    const ssh = new SshLink({ clock, peer, privateKeyFile, ...(transport === undefined ? {} : { transport }) });
    const link = { peer, ssh, libvirt: new OnDemandConnection({ dial: ssh.dial(libvirtSocket), clock, uri: LIBVIRT_URI }) };
    this.#peerLinks.set(node, link);
    await stopLink(known);
    return link;
  }

  async #dropLink(node: string): Promise<void> {
    const link = this.#peerLinks.get(node);
    this.#peerLinks.delete(node);
    await stopLink(link);
  }

  #onEvent(event: LibvirtEvent): void {
    const { uuid, name } = event.domain;
    if (event.kind === 'lifecycle') this.#onLifecycle(uuid, name, event.event);
    this.#tell({ domain: vmId.parse(uuid) });
  }

  #onLifecycle(uuid: string, name: string, event: number): void {
    const redefined = event === LIFECYCLE_EVENT.defined || event === LIFECYCLE_EVENT.undefined || event === LIFECYCLE_EVENT.started;
    if (redefined) this.#marks.forget(uuid);
    const arrivedOrGone = event === LIFECYCLE_EVENT.resumed || event === LIFECYCLE_EVENT.stopped;
    if (arrivedOrGone) void this.#inBackground(this.#removeMemorySockets(name), 'a migration socket could not be removed');
  }

  #onConnection(state: 'connected' | 'lost'): void {
    this.#marks.forgetAll();
    if (state === 'connected') this.#tidying = this.#inBackground(this.#tidy(), 'the migration sockets could not be tidied');
    this.#tell({ connection: state });
  }

  #tell(news: { domain: VmId } | { connection: 'connected' | 'lost' }): void {
    for (const listener of [...this.#listeners]) {
      if ('domain' in news) listener.domain?.(news.domain);
      else listener.connection?.(news.connection);
    }
  }

  async #inBackground(work: Promise<void>, failed: string): Promise<void> {
    await work.catch((error: unknown) => this.#deps.log.warn({ reason: describeError(error) }, failed));
  }

  /** Before the first connection, when no migration can be under way: an earlier daemon's control sockets lead nowhere. */
  async #prepareFolders(): Promise<void> {
    const work = prepareMigrationFolders(this.#hostRoot).then(() => removeControlSockets(this.#hostRoot));
    await this.#inBackground(work, 'the folders for migrations could not be made');
  }

  /** Removes the memory sockets of migrations that ended while we were not looking; libvirt may have made its folder anew. */
  async #tidy(): Promise<void> {
    await prepareMigrationFolders(this.#hostRoot);
    const names = [...(await findMemorySockets(this.#hostRoot)).keys()];
    if (names.length === 0) return;
    const incoming = new Set((await this.list()).filter((domain) => domain.incoming).map((domain) => domain.name));
    for (const name of names) if (!incoming.has(name)) await this.#removeMemorySockets(name);
  }

  /** The sockets of a guest that arrived or is gone: QEMU leaves its own behind when it is killed. */
  async #removeMemorySockets(name: string): Promise<void> {
    const ours = new Set([...this.#migrations.values()].map((migration) => (migration === 'starting' ? '' : migration.memoryFile)));
    const files = (await findMemorySockets(this.#hostRoot)).get(name) ?? [];
    for (const file of files) if (!ours.has(file)) await rm(file, { force: true });
  }
}

/**
 * Defines the domain; one of this UUID that does not run is replaced. libvirt replaces it by itself when the name is the same, which is tried
 * first: a look before would cost a round trip in each start.
 * @throws AppError 'state' when it runs under another name.
 */
async function define(connection: LibvirtConnection, uuid: VmId, { name, xml }: { name: string; xml: string }): Promise<void> {
  const attempt = (): Promise<unknown> => connection.call(PROCEDURES.domainDefineXmlFlags, { xml, flags: 0 }, QUICK_LIMIT);
  try {
    await attempt();
  } catch (error) {
    const existing = await lookup(connection, uuid);
    if (existing === undefined || existing.name === name) throw error;
    if (existing.id >= 0) throw new AppError('state', 'the domain runs under another name', { vm: uuid, name: existing.name }, { cause: error });
    await connection.call(PROCEDURES.domainUndefineFlags, { domain: existing, flags: UNDEFINE_TO_REPLACE }, QUICK_LIMIT);
    await attempt();
  }
}

async function lookup(connection: LibvirtConnection, uuid: VmId): Promise<DomainRef | undefined> {
  return ignoring(['not-found'], connection.call(PROCEDURES.domainLookupByUuid, uuid, QUERY_LIMIT));
}

/** The result, or undefined when the call failed with one of `codes`. */
async function ignoring<T>(codes: readonly ('not-found' | 'state')[], work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (isAppError(error, ...codes)) return undefined;
    throw error;
  }
}

async function stopLink(link: PeerLink | undefined): Promise<void> {
  await link?.libvirt.stop();
  await link?.ssh.stop();
}

/** libvirt's form of a version: major * 1,000,000 + minor * 1,000 + release. */
function versionText(version: number): string {
  return [Math.floor(version / 1_000_000), Math.floor(version / 1_000) % 1_000, version % 1_000].join('.');
}
