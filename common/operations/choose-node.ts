import { place, reasonAgainst, type Placement, type PlacementNode } from '../domain/placement.ts';
import { AppError } from '../errors.ts';
import { nodeName, type NodeName } from '../ids.ts';
import type { Selector, VmSpec } from '../schema/vm.ts';
import type { ClusterMirror, OperationContext } from './context.ts';

type Context = Pick<OperationContext, 'mirror' | 'occupancy' | 'placement'>;

export interface NodeChoice {
  vm: Pick<VmSpec, 'uuid' | 'memoryMib' | 'nodeLimit' | 'selector'>;
  /** Taken when it can take the VM; otherwise the node is chosen. */
  wanted?: string | undefined;
  selector?: Selector | undefined;
  exclude?: readonly NodeName[];
}

/**
 * The node that takes the VM.
 * @throws AppError 'no-resource' with `details.nodes`: why each node was passed over.
 */
export function chooseNode(context: Context, choice: NodeChoice): NodeName {
  const placement = tryChooseNode(context, choice);
  if (placement.kind === 'placed') return placement.node;
  const nodes = Object.fromEntries(placement.refusals.map((refusal) => [refusal.node, refusal.why]));
  throw new AppError('no-resource', 'no node can take the VM', { nodes });
}

/** As chooseNode, with the refusals as a value. */
function tryChooseNode(context: Context, choice: NodeChoice): Placement {
  const request = placementRequest(context, choice);
  const wanted = nodeName.safeParse(choice.wanted);
  const named = wanted.success ? request.nodes.find((node) => node.spec.name === wanted.data) : undefined;
  if (named !== undefined && reasonAgainst(named, request) === undefined) return { kind: 'placed', node: named.spec.name };
  return place(request);
}

/** Why this very node cannot take the VM; undefined when it can. */
export function reasonAgainstNode(context: Context, choice: NodeChoice & { wanted: NodeName }): string | undefined {
  const request = placementRequest(context, choice);
  const node = request.nodes.find((candidate) => candidate.spec.name === choice.wanted);
  return node === undefined ? 'there is no such node' : reasonAgainst(node, request);
}

function placementRequest(context: Context, choice: NodeChoice): Parameters<typeof place>[0] {
  const { mirror, occupancy, placement } = context;
  return {
    vm: choice.vm,
    nodes: placementNodes(mirror),
    occupancy: occupancy.without(choice.vm.uuid),
    selector: choice.selector ?? choice.vm.selector ?? placement.selector,
    reserveMib: placement.reserveMib,
    exclude: choice.exclude ?? [],
  };
}

function placementNodes(mirror: ClusterMirror): PlacementNode[] {
  return Array.from(mirror.all('node').values(), ({ doc }) => ({
    spec: doc,
    status: mirror.get('node-status', doc.name)?.doc,
    alive: isAlive(mirror, doc.name),
  }));
}

/** The node's daemon has a live session. */
export function isAlive(mirror: ClusterMirror, node: string): boolean {
  return mirror.get('presence', node) !== undefined;
}
