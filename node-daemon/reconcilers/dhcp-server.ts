import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../../common/clock.ts';
import { AppError, describeError, isAppError } from '../../common/errors.ts';
import type { Logger } from '../../common/log.ts';
import type { ClusterMirror } from '../../common/operations/context.ts';
import { readResource, removeResource } from '../../common/operations/update-resource.ts';
import { DONE, type Outcome, type Reconciler } from '../../common/reconcile/reconciler.ts';
import type { DhcpLeases, ManagedNetwork } from '../../common/schema/network.ts';
import { pathOf, type Kind, type Versioned } from '../../common/schema/resources.ts';
import type { Store } from '../../common/store/store.ts';
import { Turns } from '../../common/turns.ts';
import type { Bridges } from '../drivers/bridge-facts.ts';
import type { DhcpServers } from '../drivers/dhcp-server.ts';
import { textDigest } from '../drivers/text-digest.ts';
import { losesLeases, parseLeaseFile, renderLeaseFile } from '../plans/dhcp-lease.ts';
import { dhcpHostsFile, dhcpServerConfig, gatewayAddresses, needsDhcpServer } from '../plans/dhcp-server.ts';
import { ADOPTION_GRACE_MS, type PrimaryRole } from './primary-role.ts';

/** Mark of a lease file that was compared with "there is no document". */
const NO_DOCUMENT = 'none';

/** A file that is being written, or lost leases, is read again after this time, in milliseconds: far longer than dnsmasq's writing takes. */
const READ_AGAIN_MS = 150;

/** The bridge and its addresses come from others, in milliseconds, and most tell when they are done. */
const BRIDGE_RECHECK_MS = 500;
const NOT_THERE = 'DHCP waits: the bridge or its gateway address is not there';

export interface DhcpServerDeps {
  role: PrimaryRole;
  store: Store;
  mirror: ClusterMirror;
  servers: DhcpServers;
  bridges: Bridges;
  clock: Clock;
  log: Logger;
  /** Why a network's server is not as it should be; null: it is. */
  report: (vni: number, error: string | null) => void;
}

/**
 * One DHCP server for each network that needs one, while this node is primary, and the leases in ZooKeeper. The key is the VNI.
 * A server begins with the leases of the document, and the document follows the server's file from then on.
 */
export class DhcpServerReconciler implements Reconciler {
  readonly #deps: DhcpServerDeps;
  readonly #startedMs: number;
  /** Networks whose running server is known to have begun with, or to have written, the present document. */
  readonly #current = new Set<number>();
  /** Lease documents as this node wrote or read them last. */
  readonly #documents = new Map<number, Versioned<DhcpLeases>>();
  /** Texts of files that lack leases, and when they were seen first: one that stays is believed. */
  readonly #suspects = new Map<number, { text: string; sinceMs: number }>();
  /** The work under way for a network, which the next one waits for. */
  /** Never two things at once for one network: a server must not start while the role goes. */
  readonly #turns = new Turns<number>();
  /** Ends with the role. */
  #term = new AbortController();
  #wasMine = false;

  constructor(deps: DhcpServerDeps) {
    this.#deps = deps;
    this.#startedMs = deps.clock.monotonicMs();
  }

  /** Networks to look at after a change of this document. */
  keysOf(kind: Kind, id: string): string[] {
    // Of the lease documents only those that a deleted network has left: this node writes the others itself.
    const orphan = kind === 'dhcp-lease' && this.#deps.mirror.get('network', id) === undefined;
    return kind === 'network' || kind === 'dhcp-reservation' || orphan ? [id] : [];
  }

  /** Every network that may need something: those there are, those with leases, those with a server here. */
  keys(): readonly string[] {
    const { mirror, servers } = this.#deps;
    return [...new Set([...mirror.all('network').keys(), ...mirror.all('dhcp-lease').keys(), ...servers.list().map(String)])];
  }

  /**
   * Ends every server, then writes the last leases; to be called once the role's `isMine` says no, so that nothing starts again. What
   * cannot be written is not waited for longer than the store waits itself.
   * @throws AppError when a server cannot be ended.
   */
  async leave(): Promise<void> {
    const { servers } = this.#deps;
    this.#term.abort(new AppError('cancelled', 'the role goes'));
    // At once; then again for one that was just starting.
    await Promise.all(servers.list().map((vni) => servers.end(vni)));
    await Promise.all(servers.list().map((vni) => this.#turns.take(vni, () => this.#leave(vni))));
  }

  async reconcile(key: string, signal: AbortSignal): Promise<Outcome> {
    const vni = Number(key);
    return this.#turns.take(vni, () => this.#reconcile(vni, signal));
  }

  async #reconcile(vni: number, signal: AbortSignal): Promise<Outcome> {
    if (!this.#deps.role.isMine()) return this.#rest(vni);
    if (this.#term.signal.aborted) this.#term = new AbortController();
    this.#wasMine = true;
    const network = this.#deps.mirror.get('network', String(vni))?.doc;
    try {
      return needsDhcpServer(network) ? await this.#serve(network, AbortSignal.any([signal, this.#term.signal])) : await this.#retire(vni);
    } catch (error) {
      this.#deps.report(vni, describeError(error));
      throw error;
    }
  }

  /** Not primary: no server here. */
  async #rest(vni: number): Promise<Outcome> {
    const { servers, mirror, clock, report } = this.#deps;
    const waitMs = this.#startedMs + ADOPTION_GRACE_MS - clock.monotonicMs();
    if (!this.#wasMine && waitMs > 0 && (await servers.state(vni)) !== undefined) {
      return { kind: 'recheck', afterMs: waitMs, why: 'the role may come back to this node' };
    }
    await this.#leave(vni);
    // A secondary has what it wrote as a primary: of a network that is gone, a later one of the same number must not find it.
    if (mirror.staleForMs() === 0 && !needsDhcpServer(mirror.get('network', String(vni))?.doc) && servers.list().includes(vni)) await servers.remove(vni);
    report(vni, null);
    return DONE;
  }

  #forget(vni: number): void {
    this.#current.delete(vni);
    this.#documents.delete(vni);
    this.#suspects.delete(vni);
  }

  /** The network is gone or has no DHCP any more. Only a mirror that holds everything may say so. */
  async #retire(vni: number): Promise<Outcome> {
    const { servers, mirror, store } = this.#deps;
    if (mirror.staleForMs() > 0) return DONE;
    await servers.remove(vni);
    this.#forget(vni);
    const target = { kind: 'dhcp-lease', id: String(vni) } as const;
    const leases = mirror.get(target.kind, target.id);
    if (leases !== undefined) await removeResource({ store }, target, leases.version);
    this.#deps.report(vni, null);
    return DONE;
  }

  async #serve(network: ManagedNetwork, signal: AbortSignal): Promise<Outcome> {
    const { servers, bridges, mirror, role } = this.#deps;
    const { vni } = network;
    const bridge = await bridges.look(vni, signal);
    if (bridge === undefined || !gatewayAddresses(network).every((address) => bridge.addresses.includes(address))) {
      this.#deps.report(vni, NOT_THERE);
      return { kind: 'recheck', afterMs: BRIDGE_RECHECK_MS, why: NOT_THERE };
    }
    const config = dhcpServerConfig(network, { files: servers.files(vni), bridge });
    const hosts = dhcpHostsFile(network, mirror.get('dhcp-reservation', String(vni))?.doc.reservations ?? []);
    const state = await servers.state(vni);
    const begins = this.#current.has(vni) ? undefined : await this.#document(vni);
    const outdated = begins !== undefined && (await servers.readLeases(vni))?.mark !== begins.mark;
    if (!role.isMine()) return this.#rest(vni);
    if (state === undefined || state.configDigest !== textDigest(config) || outdated) {
      await this.#launch(network, { config, hosts }, signal);
    } else if (state.hostsDigest !== textDigest(hosts)) {
      await servers.reloadHosts(vni, hosts);
      this.#deps.log.info({ vni }, 'the DHCP server reads other reservations');
    }
    this.#current.add(vni);
    this.#deps.report(vni, null);
    return this.#collect(vni);
  }

  /** The file stays where it is what follows from the document; else the document replaces it. */
  async #launch(network: ManagedNetwork, texts: { config: string; hosts: string }, signal: AbortSignal): Promise<void> {
    const { servers, log } = this.#deps;
    const { vni } = network;
    await servers.end(vni);
    const { document, mark } = await this.#document(vni);
    const file = await servers.readLeases(vni);
    const usable = file !== undefined && file.mark === mark && parseLeaseFile(vni, file.text).whole && (file.text !== '' || document === undefined);
    const empty: DhcpLeases = { vni, serverDuid: null, ip4: [], ip6: [] };
    const leases = usable ? undefined : { text: renderLeaseFile(document?.doc ?? empty, network), mark };
    await servers.launch(vni, { ...texts, leases }, signal);
    log.info({ vni, leasesFrom: usable ? 'file' : 'document' }, 'the DHCP server was started');
  }

  /** The lease document as the store has it, with the mark of a file that follows from it. */
  async #document(vni: number): Promise<{ document: Versioned<DhcpLeases> | undefined; mark: string }> {
    const document = await readResource({ store: this.#deps.store }, 'dhcp-lease', String(vni));
    if (document === undefined) this.#documents.delete(vni);
    else this.#documents.set(vni, document);
    return { document, mark: document === undefined ? NO_DOCUMENT : markOf(document) };
  }

  /** Brings the document to what the server's file says. */
  async #collect(vni: number): Promise<Outcome> {
    const { servers, clock } = this.#deps;
    const file = await servers.readLeases(vni);
    if (file === undefined) return DONE;
    const { leases, whole } = parseLeaseFile(vni, file.text);
    const before = this.#documents.get(vni);
    if (!whole || (before !== undefined && losesLeases(before.doc, leases, clock.nowMs() / 1_000) && !this.#isConfirmed(vni, file.text))) {
      return { kind: 'recheck', afterMs: READ_AGAIN_MS, why: 'the lease file may be half written' };
    }
    this.#suspects.delete(vni);
    await this.#write(vni, leases);
    return DONE;
  }

  /** dnsmasq empties the file before it writes it: what is missing must be missing for a while. */
  #isConfirmed(vni: number, text: string): boolean {
    const nowMs = this.#deps.clock.monotonicMs();
    const suspect = this.#suspects.get(vni);
    if (suspect?.text === text) return nowMs - suspect.sinceMs >= READ_AGAIN_MS;
    this.#suspects.set(vni, { text, sinceMs: nowMs });
    return false;
  }

  /** Ends the server; the last words of one that this node has kept are written, by whoever comes first after the role has gone. */
  async #leave(vni: number): Promise<void> {
    const { servers, log } = this.#deps;
    await servers.end(vni);
    if (!this.#current.has(vni)) return;
    try {
      const file = await servers.readLeases(vni);
      const parsed = file === undefined ? undefined : parseLeaseFile(vni, file.text);
      if (parsed?.whole === true && file?.text !== '') await this.#write(vni, parsed.leases);
    } catch (error) {
      log.warn({ vni, why: describeError(error) }, 'the last leases could not be written; the next primary begins with those before');
    }
    this.#forget(vni);
  }

  async #write(vni: number, leases: DhcpLeases): Promise<void> {
    const before = this.#documents.get(vni);
    if (before === undefined ? isEmpty(leases) : isDeepStrictEqual(before.doc, leases)) return;
    try {
      await this.#store(vni, leases, before);
    } catch (error) {
      if (!isAppError(error, 'conflict', 'exists', 'not-found', 'unknown-outcome')) throw error;
      // Only a primary writes it: an answer was lost, or it was a predecessor's last word.
      const { document, mark } = await this.#document(vni);
      if (!isDeepStrictEqual(document?.doc, leases)) throw new AppError('conflict', 'the leases were written by somebody else', { vni }, { cause: error });
      await this.#deps.servers.markLeases(vni, mark);
    }
  }

  async #store(vni: number, leases: DhcpLeases, before: Versioned<DhcpLeases> | undefined): Promise<void> {
    const { store, servers } = this.#deps;
    const path = pathOf('dhcp-lease', String(vni));
    const entry = before === undefined ? await store.create(path, leases) : await store.update(path, leases, before.version);
    const written = { id: String(vni), doc: leases, version: entry.version, createdZxid: entry.createdZxid, modifiedZxid: entry.modifiedZxid };
    this.#documents.set(vni, written);
    await servers.markLeases(vni, markOf(written));
  }
}

function isEmpty({ ip4, ip6, serverDuid }: DhcpLeases): boolean {
  return ip4.length === 0 && ip6.length === 0 && serverDuid === null;
}

/** Names one state of the document for ever. */
function markOf({ createdZxid, version }: Versioned<DhcpLeases>): string {
  return `${createdZxid}-${version}`;
}
