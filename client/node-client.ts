import { z } from 'zod';
import { coordinatorState, daemonState, domainsState } from '../common/schema/node.ts';
import type { NodeView } from '../common/view/node.ts';
import { toClientError } from './client-error.ts';
import type { CallOptions } from './connection.ts';
import type { Given } from './operation.ts';
import { NODE } from './operations/node.ts';
import { parseArguments } from './parse-arguments.ts';
import { ServiceClient } from './service-client.ts';
import type { WaitOptions } from './wait-for.ts';

const nodeStates = z
  .strictObject({ daemon_state: daemonState.optional(), coordinator_state: coordinatorState.optional(), domain_state: domainsState.optional() })
  .refine((states) => Object.keys(states).length > 0, 'name at least one state to wait for');
/** The states that a node shall have at the same time. */
export type NodeStates = z.input<typeof nodeStates>;

/** The hypervisors. `node` is a node's name, exactly. Every method throws ClientError only. */
export class NodeClient extends ServiceClient {
  /** The nodes by name. `limit` is a regular expression found anywhere in the name; further filters combine with it. */
  list(filter: Given<typeof NODE.list> = {}, options?: CallOptions): Promise<NodeView[]> {
    return this.connection.call(NODE.list, filter, options);
  }

  /** One node; memory in MiB. 404: no node has this name. */
  get(node: string, options?: CallOptions): Promise<NodeView> {
    return this.connection.call(NODE.get, { node }, options);
  }

  /** Whether the node's daemon runs: `init`, `run`, `shutdown`, `stop`, or `dead` when it has gone without a word. 404: no such node. */
  daemonState(node: string, options?: CallOptions): Promise<{ name: string; daemon_state: string }> {
    return this.connection.call(NODE.daemonState, { node }, options);
  }

  /** `primary`, `secondary`, on the way (`takeover`, `relinquish`), or `client` for one that cannot be primary. 404: no such node. */
  coordinatorState(node: string, options?: CallOptions): Promise<{ name: string; coordinator_state: string }> {
    return this.connection.call(NODE.coordinatorState, { node }, options);
  }

  /** Whether the node runs VMs: `ready`, `flushed`, or on the way (`flush`, `unflush`). 404: no such node. */
  domainState(node: string, options?: CallOptions): Promise<{ name: string; domain_state: string }> {
    return this.connection.call(NODE.domainState, { node }, options);
  }

  /** Asks a coordinator to become primary, or to give that up. Answers before it has; the API moves with it. 510: no such node, or no coordinator. */
  setCoordinatorState(node: string, state: 'primary' | 'secondary', options?: CallOptions): Promise<{ message: string }> {
    return this.connection.call(NODE.setCoordinatorState, { node, state }, options);
  }

  /**
   * Asks the node to move all its VMs away.
   * @returns `task_id` for TaskClient.waitTask; none when it is flushed already. With `wait` the API answers when it is over, after at most ten minutes.
   * 510: no such node; with `wait`, that the flush failed or was ended.
   */
  flush(node: string, how: { wait?: boolean | undefined } = {}, options?: CallOptions): Promise<{ message: string; task_id?: string | undefined }> {
    return this.connection.call(NODE.setDomainState, { ...how, node, state: 'flush' }, options);
  }

  /** Asks the node to bring its VMs back and to run new ones; answers as flush does. */
  ready(node: string, how: { wait?: boolean | undefined } = {}, options?: CallOptions): Promise<{ message: string; task_id?: string | undefined }> {
    return this.connection.call(NODE.setDomainState, { ...how, node, state: 'ready' }, options);
  }

  /** The last lines of the log of the node's daemon, some seconds old: 10 unless told otherwise, at most 5,000. 404: no such node. */
  log(node: string, how: { lines?: number | undefined } = {}, options?: CallOptions): Promise<{ name: string; data: string }> {
    return this.connection.call(NODE.log, { ...how, node }, options);
  }

  /**
   * Waits until the node has all of these states, such as `{ daemon_state: 'run', domain_state: 'ready' }`.
   * @returns the node as it was then.
   * @throws ClientError 'timeout' after the limit, 'answer' with 404 when there is no such node.
   */
  async waitNode(node: string, states: NodeStates, options: WaitOptions<NodeView> = {}): Promise<NodeView> {
    try {
      const wanted = Object.entries(parseArguments(nodeStates, states));
      const isDone = (seen: NodeView): boolean => {
        const shown = new Map(Object.entries(seen));
        return wanted.every(([name, state]) => state === undefined || shown.get(name) === state);
      };
      const wait = { what: `node ${node}: ${wanted.map((one) => one.join(' ')).join(', ')}`, filter: { kinds: ['node' as const], id: node }, look: (signal: AbortSignal) => this.get(node, { signal }), isDone };
      const { waitFor } = await import('./wait-for.ts');
      return await waitFor(this.connection, wait, options);
    } catch (error) {
      throw toClientError(error);
    }
  }
}
