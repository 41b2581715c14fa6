import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../../common/clock.ts';
import { AppError, describeError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import type { ClusterMirror } from '../../common/operations/context.ts';
import { DONE, type Outcome, type Reconciler } from '../../common/reconcile/reconciler.ts';
import type { ManagedNetwork } from '../../common/schema/network.ts';
import type { Kind } from '../../common/schema/resources.ts';
import { Turns } from '../../common/turns.ts';
import { textDigest } from '../drivers/text-digest.ts';
import type { DnsContents, DnsServer } from '../drivers/dns-server.ts';
import { dnsChange, dnsContents, dnsContentsFile, dnsServedBy, dnsServerConfig } from '../plans/dns-server.ts';
import { ADOPTION_GRACE_MS, type PrimaryRole } from './primary-role.ts';

/** The one key of this reconciler. */
export const DNS_KEY = 'dns';

/** How often the server is asked what it really holds, in milliseconds; between, what it was told counts. */
const AUDIT_MS = 60_000;

/** Names changed at a time, so that questions are answered in between. */
const BATCH_NAMES = 2_000;

export interface DnsServerDeps {
  role: PrimaryRole;
  mirror: ClusterMirror;
  server: DnsServer;
  /** Floating addresses, with their prefix lengths: the server answers there, and to the hosts of their networks. */
  floating: readonly string[];
  forwarders: readonly string[];
  clock: Clock;
  log: Logger;
  /** Why names are not served as they should be; null: they are. */
  report: (error: string | null) => void;
}

/** One DNS server for all networks while this node is primary. It is started anew only when the addresses or the clients change. */
export class DnsServerReconciler implements Reconciler {
  readonly #deps: DnsServerDeps;
  readonly #startedMs: number;
  /** What the running server holds as far as this process knows, and since when. */
  #held: { contents: DnsContents; sinceMs: number } | undefined;
  #config: { readonly networks: readonly ManagedNetwork[]; readonly text: string } | undefined;
  /** Never two things at once: the server must not start while the role goes. */
  readonly #turns = new Turns();
  /** Ends with the role. */
  #term = new AbortController();
  #wasMine = false;

  constructor(deps: DnsServerDeps) {
    this.#deps = deps;
    this.#startedMs = deps.clock.monotonicMs();
  }

  /** The only key, after a change that may matter. */
  keysOf(kind: Kind): string[] {
    return kind === 'network' || kind === 'dhcp-reservation' || kind === 'dhcp-lease' ? [DNS_KEY] : [];
  }

  /** Ends the server; to be called once the role's `isMine` says no, so that it does not start again. */
  async leave(): Promise<void> {
    this.#term.abort(new AppError('cancelled', 'the role goes'));
    await this.#turns.take(undefined, () => this.#end());
  }

  async reconcile(_key: string, signal: AbortSignal): Promise<Outcome> {
    return this.#turns.take(undefined, () => this.#reconcile(signal));
  }

  async #reconcile(signal: AbortSignal): Promise<Outcome> {
    const { role, report } = this.#deps;
    if (!role.isMine()) return this.#rest();
    if (this.#term.signal.aborted) this.#term = new AbortController();
    this.#wasMine = true;
    try {
      await this.#serve(AbortSignal.any([signal, this.#term.signal]));
      report(null);
      return DONE;
    } catch (error) {
      this.#held = undefined;
      report(describeError(error));
      throw error;
    }
  }

  async #rest(): Promise<Outcome> {
    const waitMs = this.#startedMs + ADOPTION_GRACE_MS - this.#deps.clock.monotonicMs();
    if (!this.#wasMine && waitMs > 0 && (await this.#deps.server.configDigest()) !== undefined) {
      return { kind: 'recheck', afterMs: waitMs, why: 'the role may come back to this node' };
    }
    await this.#end();
    this.#deps.report(null);
    return DONE;
  }

  async #end(): Promise<void> {
    this.#held = undefined;
    await this.#deps.server.end();
  }

  async #serve(signal: AbortSignal): Promise<void> {
    const { server, mirror, floating, log } = this.#deps;
    const networks = managedNetworks(mirror);
    if (networks.length + floating.length === 0) return this.#end();
    const desired = contentsOf(mirror, networks);
    const config = this.#configOf(networks);
    if ((await server.configDigest()) !== textDigest(config)) {
      await server.launch({ config, contents: dnsContentsFile(desired) }, signal);
      log.info({ networks: networks.length, zones: desired.zones.size }, 'the DNS server was started');
      this.#hold(desired);
      return;
    }
    await this.#update(desired, signal);
  }

  /** Names change much more often than networks, so that the text for the same documents is kept. */
  #configOf(networks: readonly ManagedNetwork[]): string {
    const { server, floating, forwarders } = this.#deps;
    if (this.#config !== undefined && isSame(this.#config.networks, networks)) return this.#config.text;
    const served = dnsServedBy(networks);
    const listen = [...served.listen, ...floating.map((cidr) => cidr.split('/')[0] ?? cidr)];
    const text = dnsServerConfig({ place: server.place(), listen, clients: [...served.clients, ...floating], forwarders });
    this.#config = { networks, text };
    return text;
  }

  async #update(desired: DnsContents, signal: AbortSignal): Promise<void> {
    const { server, clock } = this.#deps;
    const known = this.#held !== undefined && clock.monotonicMs() - this.#held.sinceMs < AUDIT_MS ? this.#held : undefined;
    const contents = known?.contents ?? (await server.contents(signal));
    if (known === undefined) this.#hold(contents);
    if (isDeepStrictEqual(contents, desired)) return;
    // Until it is done nobody knows what the server holds.
    this.#held = undefined;
    const { zonesAdded, zonesRemoved, namesRemoved, recordsAdded } = dnsChange(contents, desired);
    await server.change({ zonesAdded, zonesRemoved, namesRemoved, recordsAdded: recordsAdded.slice(0, BATCH_NAMES) }, signal);
    for (let from = BATCH_NAMES; from < recordsAdded.length; from += BATCH_NAMES) {
      await server.change({ zonesAdded: [], zonesRemoved: [], namesRemoved: [], recordsAdded: recordsAdded.slice(from, from + BATCH_NAMES) }, signal);
    }
    this.#held = { contents: desired, sinceMs: known?.sinceMs ?? clock.monotonicMs() };
  }

  #hold(contents: DnsContents): void {
    this.#held = { contents, sinceMs: this.#deps.clock.monotonicMs() };
  }
}

function managedNetworks(mirror: ClusterMirror): ManagedNetwork[] {
  return [...mirror.all('network').values()].flatMap(({ doc }) => (doc.type === 'managed' ? [doc] : []));
}

/** The very same documents. */
function isSame(some: readonly ManagedNetwork[], others: readonly ManagedNetwork[]): boolean {
  return some.length === others.length && some.every((network, at) => network === others[at]);
}

function contentsOf(mirror: ClusterMirror, networks: readonly ManagedNetwork[]): DnsContents {
  return dnsContents(
    networks.map((network) => {
      const id = String(network.vni);
      return { network, reservations: mirror.get('dhcp-reservation', id)?.doc.reservations ?? [], leases: mirror.get('dhcp-lease', id)?.doc };
    }),
  );
}
