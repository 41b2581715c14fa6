import { clusterPlan, domainXml, uuidOf, type ClusterPlan, type SimulatedClient, type SimulatedCluster } from '../support/simulated-cluster.ts';

export const NODES = ['hv1', 'hv2', 'hv3'] as const;
export const VMS = ['a', 'b', 'c', 'd', 'e'] as const;

export type Pick = <T>(from: readonly T[]) => T;
export type Act = (cluster: SimulatedCluster, pick: Pick, api: SimulatedClient, other: SimulatedClient) => void | Promise<unknown>;

/** Chooses with these random numbers. */
export function picker(random: () => number): Pick {
  return (from) => from[Math.floor(random() * from.length)]!;
}

/** What people ask of VMs and nodes; a refusal is fine, a wrong world is not. */
export const REQUESTS: readonly Act[] = [
  (_cluster, pick, { vm }) => vm.setPower(uuidOf(pick(VMS)), 'start'),
  (_cluster, pick, { vm }) => vm.setPower(uuidOf(pick(VMS)), pick(['start', 'stop', 'shutdown', 'restart', 'disable'] as const)),
  (_cluster, pick, { vm }) => vm.migrate(uuidOf(pick(VMS)), { node: pick(NODES), force: true, method: pick([null, 'live', 'shutdown', 'any'] as const) }),
  (_cluster, pick, { vm }) => vm.unmigrate(uuidOf(pick(VMS))),
  (_cluster, pick, { vm }) => vm.abortMigration(uuidOf(pick(VMS))),
  (_cluster, pick, { node }) => node.setDomains(pick(NODES), 'flush', { requestedBy: 'soak' }),
  (_cluster, pick, { node }) => node.setDomains(pick(NODES), 'ready', { requestedBy: 'soak' }),
  (cluster, pick, { vm }) => {
    const uuid = uuidOf(pick(VMS));
    cluster.record.defined.delete(uuid);
    return vm.remove(uuid, { disks: false });
  },
  (cluster, pick, api) => define(cluster, pick(VMS), api),
  (cluster, pick, api) => define(cluster, pick(VMS), api),
  (_cluster, pick, _api, { vm }) => vm.migrate(uuidOf(pick(VMS)), { node: pick(NODES), force: true }),
  (_cluster, pick, _api, { vm }) => vm.setPower(uuidOf(pick(VMS)), 'start'),
  (_cluster, pick, _api, { vm }) => vm.addTag(uuidOf(pick(VMS)), { name: pick(['x', 'y']), protected: false }),
  (_cluster, pick, _api, { vm }) => vm.rename(uuidOf(pick(VMS)), pick(['spare', ...VMS])),
  (_cluster, pick, { node }) => node.setCoordinator(pick(NODES), pick(['primary', 'secondary'] as const)),
];

/** A session that nobody is connected with ends by its timeout alone: the primary's proof relies on that. */
export const expiry: Act = (cluster, pick) => {
  const name = pick(NODES);
  if (cluster.node(name).isConnected) cluster.zookeeper.expire(name);
};

/**
 * What a daemon whose session was ended without a warning needs to take the address off. Killed within it, it leaves the address
 * behind for its next start, while the lease is free at once: nobody can prevent that, so it is not tried.
 */
export const AFTER_EXPIRY_MS = 4;

/** What happens to them. Everything is repaired before the end. */
export const ACCIDENTS: readonly Act[] = [
  (cluster, pick) => cluster.node(pick(NODES)).killAndRestart(),
  expiry,
  (cluster, pick) => {
    const name = pick(NODES);
    cluster.zookeeper.partition(name);
    cluster.clock.after(pick([2_000, 8_000, 14_000]), () => cluster.zookeeper.heal(name));
  },
  (cluster, pick) => {
    cluster.zookeeper.startOutage();
    cluster.clock.after(pick([1_000, 15_000]), () => cluster.zookeeper.endOutage());
  },
  (cluster, pick) => {
    const { host } = cluster.node(pick(NODES));
    if (!host.up) return;
    host.stopLibvirt();
    cluster.clock.after(pick([1_000, 10_000]), () => host.powerOn());
  },
  (cluster, pick) => cluster.zookeeper.loseReply(pick([...NODES, 'api']), pick(['done', 'not-done'] as const)),
  (cluster, pick) => {
    const name = pick(VMS);
    const on = cluster.nodeRunning(name);
    if (on !== undefined) cluster.hosts.get(on).end(uuidOf(name), pick(['crashed', 'shutdown'] as const));
  },
  (cluster, pick) => cluster.hosts.behave(uuidOf(pick(VMS)), { migrationFailure: pick(['none', 'none', 'begin', 'pass', 'switch-over'] as const) }),
  (cluster, pick) => {
    const node = cluster.node(pick(NODES));
    if (!node.runs) return;
    node.kill();
    node.host.powerOff();
    cluster.clock.after(pick([5_000, 20_000]), () => {
      node.host.powerOn();
      node.boot();
    });
  },
];

/** Three nodes and five VMs, whose networks `networksOf` chooses. */
export function soakPlan(seed: number, pick: Pick, more: { networks?: readonly object[]; networksOf?: (name: string) => readonly number[] } = {}): ClusterPlan {
  const endings = ['source-runs', 'source-paused', 'target-runs'] as const;
  const vms = VMS.map((name, index) => ({
    name,
    on: NODES[index % 3],
    running: index < 4,
    memoryMib: 512,
    networks: more.networksOf?.(name) ?? [],
    guest: { brokenSwitchOver: pick(endings), switchOverMs: 300, destroyedAs: index % 2 === 0 ? ('crashed' as const) : ('destroyed' as const) },
  }));
  const small = { memoryMib: pick([8_192, 1_700]) };
  return clusterPlan.parse({ seed, nodes: { hv1: small, hv2: small, hv3: small }, vms, networks: more.networks ?? [] });
}

export async function define(cluster: SimulatedCluster, name: string, { vm }: SimulatedClient, networks: readonly number[] = []): Promise<void> {
  const spec = await vm.define({ xml: domainXml({ name, memoryMib: 512, vcpus: 1, networks }) });
  cluster.record.defined.add(spec.uuid);
}

/** Every accident is over, every daemon runs, and all nodes take VMs; then documents and hosts agree, and go on doing so. */
export async function settles(cluster: SimulatedCluster, api: SimulatedClient, what: string): Promise<void> {
  await cluster.advance(30_000);
  for (const node of cluster.nodes.values()) node.boot();
  for (const name of VMS) cluster.hosts.behave(uuidOf(name), { migrationFailure: 'none' });
  for (const node of NODES) await cluster.done(api.node.setDomains(node, 'ready', { requestedBy: 'soak' }));
  const isReady = (): boolean => NODES.every((node) => cluster.record.doc('node-status', node)?.domains.state === 'ready');
  await cluster.until(() => cluster.unsettled().length === 0 && isReady(), 240_000, `${what} settles`).catch((error: unknown) => {
    throw new Error(`${String(error)}\n${cluster.unsettled().join('\n')}`);
  });
  await cluster.advance(70_000);
}
