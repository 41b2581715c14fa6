import type { CoordinatorState, DomainsState, NodeSpec, NodeStatus, PrimaryWish } from '../schema/node.ts';

/** Whether a node runs VMs, as shown: a request that its daemon has not answered yet shows as under way. */
export function shownDomainsState(spec: NodeSpec, status: NodeStatus | undefined): DomainsState {
  if (status === undefined) return 'flushed';
  if (status.domains.generation >= spec.domains.generation) return status.domains.state;
  return spec.domains.wish === 'flush' ? 'flush' : 'unflush';
}

/**
 * What a node is for the cluster, as shown: from the request on, who is to become primary shows `takeover` and who is to give it up
 * `relinquish`, because existing clients wait for the end of these words. One whose session is gone holds no lease, whatever it said last.
 */
export function shownCoordinatorState(status: NodeStatus | undefined, wish: PrimaryWish | undefined, isAlive: boolean): CoordinatorState {
  if (status === undefined) return 'client';
  const { name, coordinatorState: said } = status;
  if (!isAlive) return said === 'client' ? 'client' : 'secondary';
  if (wish === undefined) return said;
  const leaves = wish.avoid === name || (wish.node !== null && wish.node !== name);
  if (said === 'primary' && leaves) return 'relinquish';
  return said === 'secondary' && wish.node === name ? 'takeover' : said;
}
