import { delay } from '../common/clock.ts';
import type { StatusView } from '../common/view/status.ts';
import { ClientError, toClientError } from './client-error.ts';
import { callOptionsSchema, type CallOptions } from './connection.ts';
import type { ClusterEvent, EventFilter } from './event-stream.ts';
import { CLUSTER } from './operations/cluster.ts';
import { parseArguments } from './parse-arguments.ts';
import { ServiceClient } from './service-client.ts';

/** What the API itself asks readers of its events to wait before they come back. */
const RECONNECT_MS = 2_000;
/** Attempts to come back one after the other: a primary hands over within seconds, a reboot takes minutes. */
const RECONNECTS_MAX = 150;

/** The cluster as a whole. Every method throws ClientError only. */
export class ClusterClient extends ServiceClient {
  /** The cluster at a glance: health, what is wrong, counts; memory in MiB, disk space in KiB. */
  status(options?: CallOptions): Promise<StatusView> {
    return this.connection.call(CLUSTER.status, {}, options);
  }

  /** Switches maintenance on or off. */
  setMaintenance(on: boolean, options?: CallOptions): Promise<{ message: string }> {
    return this.connection.call(CLUSTER.setMaintenance, { state: on ? 'true' : 'false' }, options);
  }

  /** The name of the node that is primary. 404: none is at the moment. */
  async primaryNode(options?: CallOptions): Promise<string> {
    const { primary_node } = await this.connection.call(CLUSTER.primaryNode, {}, options);
    return primary_node;
  }

  /**
   * The changes of VMs, nodes, networks and tasks, as they happen, until the signal aborts or the reader breaks off. A connection that ends or
   * breaks is opened again where it was, so that nothing is missed; some events may come twice.
   * @param filter `kinds`: only these; `id`: only the one with this name, UUID or id.
   * @throws ClientError 'aborted' by the signal, 'answer' when the API refuses, 'connection' when it is gone for five minutes, or at first.
   */
  async *events(filter: EventFilter = {}, options: CallOptions = {}): AsyncGenerator<ClusterEvent, void, undefined> {
    try {
      const { signal, timeoutMs } = parseArguments(callOptionsSchema, options);
      const never = new AbortController();
      yield* this.#followed(filter, { signal: signal ?? never.signal, timeoutMs });
    } catch (error) {
      throw toClientError(error);
    }
  }

  async *#followed(filter: EventFilter, options: { signal: AbortSignal; timeoutMs: number | undefined }): AsyncGenerator<ClusterEvent, void, undefined> {
    let lastEventId: string | undefined;
    let failures = 0;
    const { eventStream } = await import('./event-stream.ts');
    for (;;) {
      try {
        for await (const { id, event } of eventStream(this.connection, filter, { ...options, lastEventId })) {
          failures = 0;
          lastEventId = id ?? lastEventId;
          yield event;
        }
      } catch (error) {
        failures += 1;
        if (!mayComeBack(error) || lastEventId === undefined || failures > RECONNECTS_MAX) throw error;
      }
      await delay(this.connection.clock, RECONNECT_MS, options.signal);
    }
  }
}

/** Nobody there, or too many streams for now. */
function mayComeBack(error: unknown): boolean {
  if (!(error instanceof ClientError)) return false;
  return error.kind === 'connection' || error.kind === 'timeout' || (error.status !== undefined && [429, 502, 503, 504].includes(error.status));
}
