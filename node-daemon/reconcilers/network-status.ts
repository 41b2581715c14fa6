import { isDeepStrictEqual } from 'node:util';
import type { Clock, Timer } from '../../common/clock.ts';
import { describeError, isAppError } from '../../common/errors.ts';
import type { NodeName } from '../../common/ids.ts';
import type { Logger } from '../../common/log.ts';
import { readResource } from '../../common/operations/update-resource.ts';
import type { NetworkOnNode, NetworkStatus } from '../../common/schema/network.ts';
import { pathOf } from '../../common/schema/resources.ts';
import type { Store } from '../../common/store/store.ts';

/** Wait before a write that failed is repeated. */
const RETRY_MS = 1_000;

/** What the document's schema takes. */
const ERROR_LENGTH_MAX = 1_000;

/** How far the links of one network are. */
export interface LinksState {
  /** Version of the network's document that the links follow; null: they are not up. */
  readonly version: number | null;
  /** In force; null: the bridge does not exist. */
  readonly mtu: number | null;
  readonly error: string | null;
  /** A bridged network: the packet filter of this host has no say in it. */
  readonly unfiltered: boolean;
}

/** How far the packet filter of one network is. */
export interface FirewallState {
  /** Version of the network's document that the chains follow; null: not yet. */
  readonly version: number | null;
  /** Version of the rules' document in the kernel; null: there are none. */
  readonly aclVersion: number | null;
  readonly error: string | null;
}

/** What has a say in whether a network is right on this node. */
export type NetworkPart = 'links' | 'firewall';

interface Parts {
  links?: LinksState;
  firewall?: FirewallState;
  /** Of the primary's servers: why the network is not served as it should be. */
  dhcp?: string | null;
  dns?: string | null;
}

export interface NetworkStatusDeps {
  readonly me: NodeName;
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
  /** A network's version counts as applied when all of these have it. */
  readonly parts: readonly NetworkPart[];
}

/**
 * The only writer of this node's network-status document: it merges what the reconcilers of the links and of the packet filter report.
 * A change is written at once, together with those that come while a write is under way.
 */
export class NetworkStatusReporter {
  readonly #deps: NetworkStatusDeps;
  /** What this process has seen. */
  readonly #parts = new Map<number, Parts>();
  /** What the last process wrote, of networks that this one has not looked at yet. */
  readonly #inherited = new Map<number, NetworkOnNode>();
  readonly #listeners = new Set<(vni: number) => void>();
  #written: NetworkStatus | undefined;
  #version: number | undefined;
  #writing: Promise<void> | undefined;
  #retry: Timer | undefined;
  #running = false;
  #unwritten = false;

  constructor(deps: NetworkStatusDeps) {
    this.#deps = deps;
  }

  /** Takes up what the last daemon of this node reported, so that a restart that changes nothing writes nothing. */
  async start(): Promise<void> {
    if (this.#running) return;
    const last = await readResource(this.#deps, 'network-status', this.#deps.me);
    this.#version = last?.version;
    this.#written = last?.doc;
    for (const one of last?.doc.networks ?? []) this.#inherited.set(one.vni, one);
    this.#running = true;
    this.#write();
  }

  async stop(): Promise<void> {
    this.#running = false;
    this.#retry?.cancel();
    await this.#writing;
  }

  setLinks(vni: number, links: LinksState): void {
    this.#set(vni, { links });
  }

  setFirewall(vni: number, firewall: FirewallState): void {
    this.#set(vni, { firewall });
  }

  /** Why the primary's server does not serve the network; null: it does, or is not to. */
  setServer(vni: number, server: 'dhcp' | 'dns', error: string | null): void {
    if (error !== null || this.#parts.has(vni)) this.#set(vni, { [server]: error });
  }

  /** The network is not on this node any more. */
  drop(vni: number): void {
    const was = this.#parts.delete(vni) || this.#inherited.has(vni);
    this.#inherited.delete(vni);
    if (was) this.#changed(vni);
  }

  /** As this process has seen it; undefined before. */
  get(vni: number): NetworkOnNode | undefined {
    const parts = this.#parts.get(vni);
    return parts?.links === undefined ? undefined : merge(vni, parts, this.#needed(parts));
  }

  /** Networks that are reported, by this process or the one before. */
  vnis(): number[] {
    return [...new Set([...this.#parts.keys(), ...this.#inherited.keys()])];
  }

  onChange(listener: (vni: number) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #set(vni: number, part: Parts): void {
    const before = this.#parts.get(vni);
    const after = { ...before, ...part };
    if (isDeepStrictEqual(before, after)) return;
    this.#parts.set(vni, after);
    if (after.links !== undefined && this.#needed(after).every((name) => after[name] !== undefined)) this.#inherited.delete(vni);
    this.#changed(vni);
  }

  #needed({ links }: Parts): readonly NetworkPart[] {
    return links?.unfiltered === true ? ['links'] : this.#deps.parts;
  }

  #changed(vni: number): void {
    this.#write();
    for (const listener of [...this.#listeners]) listener(vni);
  }

  #document(): NetworkStatus {
    const networks = new Map(this.#inherited);
    for (const vni of this.#parts.keys()) {
      const seen = this.get(vni);
      if (seen !== undefined && !this.#inherited.has(vni)) networks.set(vni, seen);
    }
    return { node: this.#deps.me, networks: [...networks.values()].sort((a, b) => a.vni - b.vni) };
  }

  #write(): void {
    this.#unwritten = true;
    if (!this.#running || this.#writing !== undefined) return;
    this.#retry?.cancel();
    this.#retry = undefined;
    this.#writing = this.#writeAll().finally(() => {
      this.#writing = undefined;
      if (this.#unwritten && this.#retry === undefined) this.#write();
    });
  }

  async #writeAll(): Promise<void> {
    // What is reported in the same moment is written together.
    await Promise.resolve();
    while (this.#running && this.#unwritten) {
      this.#unwritten = false;
      const document = this.#document();
      if (isDeepStrictEqual(document, this.#written)) continue;
      try {
        await this.#writeOnce(document);
        this.#written = document;
      } catch (error) {
        this.#unwritten = true;
        this.#deps.log.debug({ why: describeError(error) }, 'the status of the networks could not be written and will be');
        this.#retry = this.#deps.clock.after(RETRY_MS, () => this.#write());
        return;
      }
    }
  }

  async #writeOnce(document: NetworkStatus): Promise<void> {
    const { store, me } = this.#deps;
    const path = pathOf('network-status', me);
    try {
      const entry = this.#version === undefined ? await store.create(path, document) : await store.update(path, document, this.#version);
      this.#version = entry.version;
    } catch (error) {
      // Nobody else writes it: either an answer was lost, or a person removed it.
      if (isAppError(error, 'conflict', 'exists', 'not-found', 'unknown-outcome')) this.#version = (await store.read(path))?.version;
      throw error;
    }
  }
}

function merge(vni: number, { links, firewall, dhcp, dns }: Parts, names: readonly NetworkPart[]): NetworkOnNode {
  const versions = names.map((name) => (name === 'links' ? links?.version : firewall?.version) ?? null);
  const errors = [links?.error, firewall?.error, dhcp, dns].filter((error) => error != null);
  return {
    vni,
    appliedVersion: versions.some((version) => version === null) ? null : Math.min(...versions.map((version) => version ?? 0)),
    appliedAclVersion: firewall?.aclVersion ?? null,
    mtu: links?.mtu ?? null,
    error: errors.length === 0 ? null : errors.join('; ').slice(0, ERROR_LENGTH_MAX),
  };
}
