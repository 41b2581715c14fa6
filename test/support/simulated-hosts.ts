import type { Clock, Timer } from '../../common/clock.ts';
import { parseDomainXml } from '../../common/domain/domain-xml.ts';
import { tapName } from '../../common/domain/network.ts';
import { AppError } from '../../common/errors.ts';
import type { VmId } from '../../common/ids.ts';
import { markDomain } from '../../node-daemon/drivers/domain-mark.ts';
import type { Domain, DomainState, ShutoffReason } from '../../node-daemon/drivers/hypervisor.ts';
import { SimulatedDhcpHost } from './simulated-dhcp-servers.ts';
import { SimulatedDnsHost } from './simulated-dns-server.ts';
import { SimulatedFirewall } from './simulated-firewall.ts';
import { SimulatedLinks } from './simulated-links.ts';
import type { SimulatedMigration } from './simulated-migration.ts';

/** How one guest behaves, and its migrations. */
export interface GuestBehaviour {
  powerButton: 'obeys' | 'ignores';
  /** From the power button to the end. */
  powerOffMs: number;
  /** What libvirt says of its end by force: a libvirtd that takes its guests up again may call it a crash. */
  destroyedAs: 'destroyed' | 'crashed';
  startMs: number;
  /** What libvirt says instead of starting it. */
  startRefusal: string | null;
  /** First pass over its memory; each further one takes a quarter. */
  passMs: number;
  /** Pause that its switch-over needs: with a shorter one permitted, passes go on. */
  needsDowntimeMs: number;
  switchOverMs: number;
  /** Where its migrations fail by themselves. */
  migrationFailure: 'none' | 'begin' | 'pass' | 'switch-over';
  /** What is left when the link breaks during the switch-over. */
  brokenSwitchOver: 'source-runs' | 'source-paused' | 'target-runs';
}

const BEHAVIOUR: GuestBehaviour = {
  powerButton: 'obeys',
  powerOffMs: 3_000,
  destroyedAs: 'destroyed',
  startMs: 200,
  startRefusal: null,
  passMs: 2_000,
  needsDowntimeMs: 100,
  switchOverMs: 80,
  migrationFailure: 'none',
  brokenSwitchOver: 'source-runs',
};

/** A domain of one simulated host; a definition outlives its guest. */
export interface SimulatedDomain {
  readonly uuid: VmId;
  name: string;
  xml: string;
  readonly ours: boolean;
  memoryMib: number;
  vcpus: number;
  /** Of its disks, by their devices, as the guest was told; in bytes. */
  diskSizes: ReadonlyMap<string, number>;
  state: DomainState;
  shutoffReason: ShutoffReason | undefined;
  incoming: boolean;
}

export interface HostsListener {
  /** Told at once, in the middle of the change. */
  guest?(host: SimulatedHost, uuid: VmId, from: string, to: string): void;
  address?(host: SimulatedHost, cidr: string, held: boolean): void;
  /** `server` is `dhcp` with the VNI, or `dns`. */
  server?(host: SimulatedHost, server: string, what: 'started' | 'reloaded' | 'ended'): void;
}

/** Disks that nobody gave another size have this one. */
const DISK_BYTES = 1_048_576;

/** Libvirt tells its events a moment later. */
const EVENT_DELAY_MS = 1;

/** All hosts, which live on whatever happens to the daemons on them. */
export class SimulatedHosts {
  readonly clock: Clock;
  readonly defaults: GuestBehaviour;
  readonly listeners = new Set<HostsListener>();
  readonly #hosts = new Map<string, SimulatedHost>();
  readonly #behaviours = new Map<string, Partial<GuestBehaviour>>();
  readonly #diskSizes = new Map<string, number>();

  constructor(deps: { clock: Clock; defaults?: Partial<GuestBehaviour> }) {
    this.clock = deps.clock;
    this.defaults = { ...BEHAVIOUR, ...deps.defaults };
  }

  add(name: string, size: { memoryMib: number; load?: number }): SimulatedHost {
    const host = new SimulatedHost(this, name, size);
    this.#hosts.set(name, host);
    return host;
  }

  find(name: string): SimulatedHost | undefined {
    return this.#hosts.get(name);
  }

  get(name: string): SimulatedHost {
    const host = this.#hosts.get(name);
    if (host === undefined) throw new Error(`no host ${name}`);
    return host;
  }

  all(): readonly SimulatedHost[] {
    return [...this.#hosts.values()];
  }

  /** Of a file or a volume, whatever guests know of it. */
  diskSizeOf(name: string): number {
    return this.#diskSizes.get(name) ?? DISK_BYTES;
  }

  resizeDisk(name: string, sizeBytes: number): void {
    this.#diskSizes.set(name, sizeBytes);
  }

  behave(uuid: VmId, behaviour: Partial<GuestBehaviour>): void {
    this.#behaviours.set(uuid, { ...this.#behaviours.get(uuid), ...behaviour });
  }

  behaviourOf(uuid: VmId): GuestBehaviour {
    return { ...this.defaults, ...this.#behaviours.get(uuid) };
  }
}

/** One host: its libvirt with its domains, and its addresses. */
export class SimulatedHost {
  readonly hosts: SimulatedHosts;
  readonly name: string;
  readonly memoryMib: number;
  load: number;
  /** Powered, and its libvirt answers. */
  up = true;
  /** Peers reach it. */
  reachable = true;
  apiRuns = false;
  readonly addresses = new Set<string>();
  readonly links: SimulatedLinks;
  readonly firewall = new SimulatedFirewall();
  readonly dhcp: SimulatedDhcpHost;
  readonly dns: SimulatedDnsHost;
  readonly domains = new Map<VmId, SimulatedDomain>();
  readonly migrations = new Map<VmId, SimulatedMigration>();
  /** Names of each guest's tap devices. */
  readonly taps = new Map<VmId, ReadonlySet<string>>();
  readonly #listeners = new Set<(news: { domain: VmId } | { connection: 'connected' | 'lost' }) => void>();
  readonly #buttons = new Map<VmId, Timer>();

  constructor(hosts: SimulatedHosts, name: string, size: { memoryMib: number; load?: number }) {
    this.hosts = hosts;
    this.links = new SimulatedLinks(hosts.clock);
    this.links.onRemoved = (link) => this.#dropAddresses(link);
    this.dhcp = new SimulatedDhcpHost(hosts.clock);
    this.dhcp.onChange = (vni, what) => this.#tellServer(`dhcp ${vni}`, what);
    this.dns = new SimulatedDnsHost(hosts.clock);
    this.dns.onChange = (what) => this.#tellServer('dns', what);
    this.name = name;
    this.memoryMib = size.memoryMib;
    this.load = size.load ?? 0;
  }

  listen(listener: (news: { domain: VmId } | { connection: 'connected' | 'lost' }) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** `address` is `device address/prefix length`. */
  setAddress(address: string, held: boolean): void {
    if (this.addresses.has(address) === held) return;
    if (held) this.addresses.add(address);
    else this.addresses.delete(address);
    for (const listener of this.hosts.listeners) listener.address?.(this, address, held);
    this.links.addressChanged(address.split(' ')[0] ?? '');
  }

  /** Definition and guest in one; as libvirt, it goes on when nobody waits for the answer. */
  async create(uuid: VmId, xml: string): Promise<void> {
    const marked = markDomain(uuid, xml);
    if (isAlive(this.domains.get(uuid))) return;
    const facts = parseDomainXml(marked.xml);
    const behaviour = this.hosts.behaviourOf(uuid);
    const bridges = missingBridges(this, facts.networks);
    const domain: SimulatedDomain = {
      uuid,
      name: marked.name,
      xml: marked.xml,
      ours: true,
      memoryMib: facts.memoryMib,
      vcpus: facts.vcpus,
      diskSizes: new Map(facts.disks.map(({ dev, name }) => [dev, this.hosts.diskSizeOf(name)])),
      state: 'shutoff',
      shutoffReason: 'unknown',
      incoming: false,
    };
    this.put(domain);
    const refusal = behaviour.startRefusal ?? bridges[0];
    if (refusal !== undefined) {
      this.change(uuid, { state: 'shutoff', shutoffReason: 'failed' });
      throw new AppError('component', 'libvirt refused', { message: refusal });
    }
    await this.after(behaviour.startMs);
    if (!this.up) throw new AppError('unavailable', 'libvirt is not connected');
    if (this.domains.get(uuid) === domain && domain.state === 'shutoff') this.change(uuid, { state: 'running', shutoffReason: undefined });
  }

  /** A definition that is not of this project, or a guest started by hand. */
  addDomain(domain: Partial<SimulatedDomain> & Pick<SimulatedDomain, 'uuid' | 'name'>): void {
    this.put({ xml: '', ours: false, memoryMib: 256, vcpus: 1, diskSizes: new Map(), state: 'shutoff', shutoffReason: 'unknown', incoming: false, ...domain });
  }

  pressPowerButton(uuid: VmId): void {
    const behaviour = this.hosts.behaviourOf(uuid);
    if (behaviour.powerButton === 'ignores' || this.#buttons.has(uuid)) return;
    const timer = this.hosts.clock.after(behaviour.powerOffMs, () => {
      this.#buttons.delete(uuid);
      if (this.domains.get(uuid)?.state === 'running') this.end(uuid, 'shutdown');
    });
    this.#buttons.set(uuid, timer);
  }

  /** The guest ends, for whatever reason; nothing happens to one that has ended. */
  end(uuid: VmId, shutoffReason: ShutoffReason): void {
    this.#buttons.get(uuid)?.cancel();
    this.#buttons.delete(uuid);
    const domain = this.domains.get(uuid);
    if (domain === undefined || !isAlive(domain)) return;
    this.migrations.get(uuid)?.guestEnded();
    if (domain.incoming) this.remove(uuid);
    else this.change(uuid, { state: 'shutoff', shutoffReason });
  }

  put(domain: SimulatedDomain): void {
    const from = describeDomain(this.domains.get(domain.uuid));
    this.domains.set(domain.uuid, domain);
    this.#changed(domain.uuid, from);
  }

  change(uuid: VmId, facts: Partial<Pick<SimulatedDomain, 'state' | 'shutoffReason' | 'incoming' | 'diskSizes'>>): void {
    const domain = this.domains.get(uuid);
    if (domain === undefined) return;
    const from = describeDomain(domain);
    Object.assign(domain, facts);
    this.#changed(uuid, from);
  }

  remove(uuid: VmId): void {
    const from = describeDomain(this.domains.get(uuid));
    if (this.domains.delete(uuid)) this.#changed(uuid, from);
  }

  /** The power fails: guests are gone, definitions stay. */
  powerOff(): void {
    this.up = false;
    for (const { uuid } of [...this.domains.values()]) this.end(uuid, 'unknown');
    for (const address of [...this.addresses]) this.setAddress(address, false);
    this.apiRuns = false;
    this.links.reset();
    this.firewall.reset();
    this.dhcp.reset();
    this.dns.kill();
    for (const host of this.hosts.all()) for (const migration of [...host.migrations.values()]) migration.hostLost(this);
    this.#tell({ connection: 'lost' });
  }

  powerOn(): void {
    this.up = true;
    this.#tell({ connection: 'connected' });
  }

  /** Libvirt's daemon alone; guests go on. */
  stopLibvirt(): void {
    this.up = false;
    this.#tell({ connection: 'lost' });
  }

  /** Memory of the guests that are here or arriving. */
  allocatedMib(): number {
    return [...this.domains.values()].filter(isAlive).reduce((sum, domain) => sum + domain.memoryMib, 0);
  }

  after(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.hosts.clock.after(delayMs, resolve));
  }

  /** With a link its addresses go. */
  #dropAddresses(link: string): void {
    for (const address of [...this.addresses]) if (address.startsWith(`${link} `)) this.setAddress(address, false);
  }

  #tellServer(server: string, what: 'started' | 'reloaded' | 'ended'): void {
    for (const listener of this.hosts.listeners) listener.server?.(this, server, what);
  }

  #changed(uuid: VmId, from: string): void {
    plugTaps(this, uuid);
    const to = describeDomain(this.domains.get(uuid));
    if (to === from) return;
    for (const listener of this.hosts.listeners) listener.guest?.(this, uuid, from, to);
    this.#tell({ domain: uuid });
  }

  #tell(news: { domain: VmId } | { connection: 'connected' | 'lost' }): void {
    this.hosts.clock.after(EVENT_DELAY_MS, () => {
      for (const listener of [...this.#listeners]) listener(news);
    });
  }
}

/** What libvirt says of bridges that are not there. */
export function missingBridges(host: SimulatedHost, networks: readonly { type: string; source: string }[]): string[] {
  const bridges = networks.filter(({ type }) => type === 'bridge').map(({ source }) => source);
  return bridges.filter((name) => host.links.links.get(name)?.kind !== 'bridge').map((name) => `Cannot get interface MTU on '${name}': No such device`);
}

/** A guest's tap devices are there as long as its QEMU is. */
function plugTaps(host: SimulatedHost, uuid: VmId): void {
  const domain = host.domains.get(uuid);
  const wanted = new Map(isAlive(domain) && domain.ours && domain.xml !== '' ? parseDomainXml(domain.xml).networks.map(({ mac, source }) => [tapName(mac), source]) : []);
  const owned = host.taps.get(uuid) ?? new Set<string>();
  for (const name of owned) if (!wanted.has(name)) host.links.remove(name);
  for (const [name, master] of wanted) if (!owned.has(name)) host.links.put({ name, kind: 'tun', up: true, master, mtu: host.links.links.get(master)?.mtu ?? 1_500 });
  host.taps.set(uuid, new Set(wanted.keys()));
}

/** QEMU is there. */
export function isAlive(domain: SimulatedDomain | undefined): domain is SimulatedDomain {
  return domain !== undefined && domain.state !== 'shutoff' && domain.state !== 'crashed';
}

/** One word for the event log. */
export function describeDomain(domain: SimulatedDomain | undefined): string {
  if (domain === undefined) return 'absent';
  if (domain.incoming) return 'incoming';
  return domain.state === 'shutoff' ? `shutoff:${domain.shutoffReason ?? 'unknown'}` : domain.state;
}

export function toDomain(domain: SimulatedDomain): Domain {
  const { uuid, name, state, shutoffReason, incoming, ours } = domain;
  return { uuid, name, state, incoming, ours, ...(shutoffReason === undefined ? {} : { shutoffReason }) };
}
