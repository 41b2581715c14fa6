import { vniOfBridge } from '../common/domain/network.ts';
import type { Clock } from '../common/clock.ts';
import type { Logger } from '../common/log.ts';
import type { Mirror } from '../common/mirror/mirror.ts';
import { Controller, type KeySource } from '../common/reconcile/controller.ts';
import type { MirroredKind, RESOURCES } from '../common/schema/resources.ts';
import type { Store } from '../common/store/store.ts';
import type { NodeConfig } from './config.ts';
import type { Bridges } from './drivers/bridge-facts.ts';
import type { DhcpServers } from './drivers/dhcp-server.ts';
import type { DnsServer } from './drivers/dns-server.ts';
import type { LinkDriver } from './drivers/link.ts';
import { DhcpServerReconciler } from './reconcilers/dhcp-server.ts';
import { DNS_KEY, DnsServerReconciler } from './reconcilers/dns-server.ts';
import { mirrorChanges, whenFresh } from './reconcilers/key-sources.ts';
import type { PrimaryRole } from './reconcilers/primary-role.ts';
import { coalesce } from './reconcilers/vm-console.ts';

/** Servers of the managed networks on this host, real or simulated. */
export interface ServerParts {
  readonly dhcp: DhcpServers;
  readonly dns: DnsServer;
  readonly bridges: Bridges;
}

export interface ServerDeps {
  readonly parts: ServerParts & { readonly links: LinkDriver; readonly store: Store; readonly clock: Clock; readonly log: Logger; readonly jitter: () => number };
  readonly mirror: Mirror<typeof RESOURCES, MirroredKind>;
  readonly role: PrimaryRole;
  /** Why a network is not served as it should be; null: it is. */
  readonly report: (vni: number, server: 'dhcp' | 'dns', error: string | null) => void;
}

/** What serves the networks while this node is primary. */
export interface NodeServers {
  readonly controllers: readonly Controller[];
  /** Each hands over what the next primary needs, and ends, once the role's `isMine` says no. */
  readonly servers: readonly { leave(): Promise<void> }[];
  /** Before the controllers. */
  start(signal: AbortSignal): Promise<void>;
  /** After the controllers. The processes go on; `leave` and the release end them. */
  stop(): Promise<void>;
}

/** Networks worked on at a time: most of the work is waiting for processes. */
const DHCP_WORKERS = 16;

/** The sweep that proves that no event was missed, in milliseconds. */
const RESYNC_MS = 30_000;

/** Names change together with what changes them. */
const DNS_INTERVAL_MS = 200;

const BACKOFF = { baseMs: 500, maxMs: 15_000 };

export function composeServers(config: NodeConfig, deps: ServerDeps): NodeServers {
  const { dhcp, dns, clock, log } = deps.parts;
  const { mirror, role, report } = deps;
  const { store, bridges } = deps.parts;
  const dhcpServers = new DhcpServerReconciler({ role, store, mirror, servers: dhcp, bridges, clock, log, report: (vni, error) => report(vni, 'dhcp', error) });
  const reportDns = (error: string | null): void => {
    for (const { doc } of mirror.all('network').values()) if (doc.type === 'managed') report(doc.vni, 'dns', error);
  };
  const dnsServer = new DnsServerReconciler({ role, mirror, server: dns, floating: floatingOf(config), forwarders: config.dns.forwarders, clock, log, report: reportDns });
  return {
    controllers: [dhcpController(deps, dhcpServers), dnsController(deps, dnsServer)],
    servers: [dhcpServers, dnsServer],
    start: async (signal) => {
      await dhcp.start(signal);
      await dns.start(signal);
    },
    stop: async () => {
      await dhcp.stop();
      await dns.stop();
    },
  };
}

function floatingOf({ networking }: NodeConfig): string[] {
  return [networking?.cluster, networking?.upstream, networking?.storage].flatMap((network) => network?.floating_address ?? []);
}

function dhcpController({ parts, mirror, role }: ServerDeps, reconciler: DhcpServerReconciler): Controller {
  const { dhcp, links, clock, log, jitter } = parts;
  const keys = (): readonly string[] => reconciler.keys();
  const processes: KeySource = (enqueue) => dhcp.listen({ changed: (vni) => enqueue(String(vni)), leases: (vni) => enqueue(String(vni)) });
  const roles = onRole(role, keys);
  const devices: KeySource = (enqueue) =>
    links.listen({
      link: (name) => {
        const vni = vniOfBridge(name);
        if (vni !== undefined && role.isMine()) enqueue(String(vni));
      },
      missed: () => undefined,
    });
  const sources = [mirrorChanges(mirror, (kind, id) => reconciler.keysOf(kind, id)), whenFresh(mirror, keys), processes, roles, devices];
  return new Controller({ name: 'dhcp-server', clock, log, jitter, reconciler, sources, keys, workers: DHCP_WORKERS, resyncMs: RESYNC_MS, backoff: BACKOFF });
}

function dnsController({ parts, mirror, role }: ServerDeps, reconciler: DnsServerReconciler): Controller {
  const { dns, clock, log, jitter } = parts;
  const keys = (): readonly string[] => [DNS_KEY];
  const names: KeySource = (enqueue) => {
    const notify = coalesce(clock, DNS_INTERVAL_MS, enqueue);
    const unlisten = mirrorChanges(mirror, (kind) => (role.isMine() ? reconciler.keysOf(kind) : []))(notify);
    return () => {
      unlisten();
      notify.stop();
    };
  };
  const processes: KeySource = (enqueue) => dns.listen(() => enqueue(DNS_KEY));
  const sources = [names, whenFresh(mirror, keys), processes, onRole(role, keys)];
  return new Controller({ name: 'dns-server', clock, log, jitter, reconciler, sources, keys, workers: 1, resyncMs: RESYNC_MS, backoff: BACKOFF });
}

function onRole(role: PrimaryRole, keys: () => Iterable<string>): KeySource {
  return (enqueue) =>
    role.onChange(() => {
      for (const key of keys()) enqueue(key);
    });
}
