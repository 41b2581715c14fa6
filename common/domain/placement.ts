import type { NodeName } from '../ids.ts';
import type { NodeSpec, NodeStatus } from '../schema/node.ts';
import type { Selector, VmSpec } from '../schema/vm.ts';
import type { VmStatus } from '../schema/vm-status.ts';

/** A node as placement sees it. */
export interface PlacementNode {
  spec: NodeSpec;
  status: NodeStatus | undefined;
  /** Its daemon's session lives. */
  alive: boolean;
}

export interface PlacementVm {
  spec: VmSpec;
  status: VmStatus | undefined;
}

export interface PlacementPolicy {
  /** Used when neither the request nor the VM names one. */
  selector: Selector;
  /** Memory kept for each host itself, in MiB. */
  reserveMib: number;
}

/** What a node has given away, moves in flight included. */
export interface Occupancy {
  readonly memoryMib: number;
  readonly vcpus: number;
  readonly vms: number;
  /** Memory of every VM whose place is here, running or not. */
  readonly provisionedMib: number;
}

/** What one VM takes of one node. */
export interface Share extends Occupancy {
  readonly node: NodeName;
}

export interface PlacementRequest {
  vm: Pick<VmSpec, 'uuid' | 'memoryMib' | 'nodeLimit'>;
  nodes: readonly PlacementNode[];
  occupancy: ReadonlyMap<string, Occupancy>;
  selector: Selector;
  reserveMib: number;
  /** Nodes that are out of the question, such as the one to leave. */
  exclude: readonly NodeName[];
}

export interface Refusal {
  node: NodeName;
  why: string;
}

export type Placement = { kind: 'placed'; node: NodeName } | { kind: 'refused'; refusals: readonly Refusal[] };

const NOTHING = { memoryMib: 0, vcpus: 0, vms: 0 } as const;
const EMPTY: Occupancy = { ...NOTHING, provisionedMib: 0 };

/** Whether the VM runs or is asked to. */
export function wantsToRun(spec: VmSpec): boolean {
  return spec.deletion === null && (spec.power.action === 'start' || spec.power.action === 'restart');
}

/** What each node has given away. */
export function occupancyOf(vms: Iterable<PlacementVm>): Map<string, Occupancy> {
  const occupancy = new Map<string, Occupancy>();
  for (const vm of vms) addShares(occupancy, vm);
  return occupancy;
}

/** Adds what a VM takes. The sums that were there are replaced, not changed, so that a copy of the map is a copy of the sums. */
export function addShares(occupancy: Map<string, Occupancy>, vm: PlacementVm): void {
  for (const share of sharesOf(vm)) occupancy.set(share.node, sum(occupancy.get(share.node) ?? EMPTY, share, 1));
}

/** Takes away what was added for the VM when it was just so. A node of which nothing is left is forgotten. */
export function subtractShares(occupancy: Map<string, Occupancy>, vm: PlacementVm): void {
  for (const share of sharesOf(vm)) {
    const rest = sum(occupancy.get(share.node) ?? EMPTY, share, -1);
    if (rest.vms === 0 && rest.provisionedMib === 0) occupancy.delete(share.node);
    else occupancy.set(share.node, rest);
  }
}

/**
 * What one VM takes of each node that it has to do with. A VM on its way counts at both ends: at its owner, where it still is, and at
 * its place, where it will be, so that two placements in a row never give away the same memory.
 */
function sharesOf({ spec, status }: PlacementVm): readonly Share[] {
  const { node, memoryMib, vcpus } = spec;
  const owner = status?.owner ?? null;
  const held = { memoryMib, vcpus, vms: 1 };
  const isHeld = node === owner || (wantsToRun(spec) && !endedByItself(spec, status));
  const place = { node, ...(isHeld ? held : NOTHING), provisionedMib: memoryMib };
  return owner === null || owner === node ? [place] : [place, { node: owner, ...held, provisionedMib: 0 }];
}

function sum(held: Occupancy, share: Occupancy, sign: 1 | -1): Occupancy {
  return {
    memoryMib: held.memoryMib + sign * share.memoryMib,
    vcpus: held.vcpus + sign * share.vcpus,
    vms: held.vms + sign * share.vms,
    provisionedMib: held.provisionedMib + sign * share.provisionedMib,
  };
}

/** The request to run was answered and the guest has ended since. */
function endedByItself(spec: VmSpec, status: VmStatus | undefined): boolean {
  if (status === undefined || status.owner !== null || status.powerGeneration < spec.power.generation) return false;
  return status.phase.kind === 'stopped' || status.phase.kind === 'failed';
}

/** The best node for the VM by the selector, or why each node was passed over. Ties go to the first name. */
export function place(request: PlacementRequest): Placement {
  const refusals: Refusal[] = [];
  const fitting: PlacementNode[] = [];
  for (const node of request.nodes) {
    const why = reasonAgainst(node, request);
    if (why === undefined) fitting.push(node);
    else refusals.push({ node: node.spec.name, why });
  }
  const best = fitting
    .map((node) => ({ name: node.spec.name, cost: cost(node, request) }))
    .sort((a, b) => a.cost - b.cost || (a.name < b.name ? -1 : 1))[0];
  return best === undefined ? { kind: 'refused', refusals } : { kind: 'placed', node: best.name };
}

/** Why this node cannot take the VM; undefined when it can. */
export function reasonAgainst(node: PlacementNode, request: Omit<PlacementRequest, 'nodes' | 'selector'>): string | undefined {
  const { vm, exclude } = request;
  if (exclude.includes(node.spec.name)) return 'it is the node to leave';
  if (vm.nodeLimit !== null && !vm.nodeLimit.includes(node.spec.name)) return "it is not in the VM's node limit";
  if (!node.alive || node.status === undefined) return 'its daemon is not alive';
  if (node.status.daemonState !== 'run') return `its daemon is not at work (${node.status.daemonState})`;
  if (node.spec.domains.wish !== 'ready') return 'it is flushed or being flushed';
  const free = freeMib(node, request);
  return free < vm.memoryMib ? `it has ${free} MiB of memory left and the VM needs ${vm.memoryMib}` : undefined;
}

function freeMib(node: PlacementNode, request: Pick<PlacementRequest, 'occupancy' | 'reserveMib'>): number {
  const total = node.status?.statistics.memoryTotalMib ?? 0;
  return total - request.reserveMib - (request.occupancy.get(node.spec.name) ?? EMPTY).memoryMib;
}

function cost(node: PlacementNode, request: PlacementRequest): number {
  const held = request.occupancy.get(node.spec.name) ?? EMPTY;
  switch (request.selector) {
    case 'mem':
      return -freeMib(node, request);
    case 'memprov':
      return held.provisionedMib - (node.status?.statistics.memoryTotalMib ?? 0);
    case 'vcpus':
      return held.vcpus;
    case 'load':
      return node.status?.statistics.load ?? Number.POSITIVE_INFINITY;
    case 'vms':
      return held.vms;
  }
}
