import type { VmId } from '../common/ids.ts';
import type { Mirror } from '../common/mirror/mirror.ts';
import type { OperationContext } from '../common/operations/context.ts';
import { settlePrimaryWish } from '../common/operations/primary-wish.ts';
import { vmOperations } from '../common/operations/vm.ts';
import type { NetworkSpec } from '../common/schema/network.ts';
import type { MirroredKind, RESOURCES } from '../common/schema/resources.ts';
import { PVC_VERSION } from '../common/version.ts';
import type { NodeParts } from './compose.ts';
import type { NodeConfig } from './config.ts';
import { floatingAddresses } from './plans/primary-addresses.ts';
import { NodeStatusReporter } from './reconcilers/node-status.ts';
import { PrimaryAddresses } from './reconcilers/primary-addresses.ts';
import type { PrimaryLease } from './reconcilers/primary-lease.ts';
import { PrimaryReconciler, type PrimaryServer } from './reconcilers/primary.ts';
import type { VmDiskGrowth } from './reconcilers/vm-disk-growth.ts';
import type { VmDisks } from './reconcilers/vm-disks.ts';
import type { VmNetworks } from './reconcilers/vm-networks.ts';
import { VmReconciler } from './reconcilers/vm.ts';
import { VmStatisticsReporter } from './reconcilers/vm-statistics.ts';

type ClusterMirrorImpl = Mirror<typeof RESOURCES, MirroredKind>;

export function createStatus(config: NodeConfig, parts: NodeParts, mirror: ClusterMirrorImpl): NodeStatusReporter {
  const { store, hypervisor, statistics, clock, log } = parts;
  const figures = new VmStatisticsReporter({ node: config.node, store });
  const world = { store, mirror, hypervisor, statistics, clock, log };
  return new NodeStatusReporter({
    ...world,
    me: config.node,
    pvcVersion: PVC_VERSION,
    guests: (guests) => figures.report(guests),
    keepaliveIntervalMs: config.keepalive_interval_s * 1_000,
  });
}

export function createPrimaryAddresses({ networking }: NodeConfig, { addresses, log }: NodeParts, own: { mirror: ClusterMirrorImpl; lease: PrimaryLease }): PrimaryAddresses {
  const networks = (): NetworkSpec[] => (networking === undefined ? [] : Array.from(own.mirror.all('network').values(), ({ doc }) => doc));
  return new PrimaryAddresses({ addresses, floating: floatingAddresses(networking), networks, isLeaseMine: () => own.lease.view() === 'mine', log });
}

interface PrimaryOwn {
  context: OperationContext;
  lease: PrimaryLease;
  status: NodeStatusReporter;
  addresses: PrimaryAddresses;
  servers: readonly PrimaryServer[];
}

export function createPrimary(config: NodeConfig, parts: NodeParts, own: PrimaryOwn): PrimaryReconciler {
  return new PrimaryReconciler({
    me: config.node,
    coordinators: config.coordinators,
    mirror: own.context.mirror,
    lease: own.lease,
    addresses: own.addresses,
    servers: own.servers,
    apiService: parts.apiService,
    clock: parts.clock,
    log: parts.log,
    report: (state) => own.status.setCoordinator(state),
    settleWish: (generation) => settlePrimaryWish(own.context, generation),
  });
}

export function createVms(config: NodeConfig, parts: NodeParts, own: { context: OperationContext; networks: VmNetworks; disks: VmDisks; growth: VmDiskGrowth; enqueue: (uuid: VmId) => void }): VmReconciler {
  return new VmReconciler({
    me: config.node,
    store: parts.store,
    mirror: own.context.mirror,
    hypervisor: parts.hypervisor,
    operations: vmOperations(own.context),
    networks: own.networks,
    disks: own.disks,
    growth: own.growth,
    clock: parts.clock,
    log: parts.log,
    shutdownTimeoutMs: config.vm.shutdown_timeout_s * 1_000,
    migrationTimeoutMs: config.migration.timeout_s * 1_000,
    consoleDirectory: config.vm.console_directory,
    enqueue: own.enqueue,
  });
}
