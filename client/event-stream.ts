import type { IncomingMessage } from 'node:http';
import { z } from 'zod';
import type { Clock, Timer } from '../common/clock.ts';
import { parseJson } from '../common/json.ts';
import { networkView } from '../common/view/network.ts';
import { nodeView } from '../common/view/node.ts';
import { taskView } from '../common/view/task.ts';
import { vmView } from '../common/view/vm.ts';
import { ClientError } from './client-error.ts';
import type { Connection } from './connection.ts';
import { lost } from './http-link.ts';
import { CLUSTER } from './operations/cluster.ts';
import { faultLines } from './parse-arguments.ts';
import { SseParser, type SseEvent } from './sse-parser.ts';

/** The API says something at least every 15 s. */
const SILENCE_MAX_MS = 45_000;

const changed = <K extends string, V extends z.ZodType>(kind: K, view: V) => z.object({ kind: z.literal(kind), id: z.string(), gone: z.boolean(), document: view.optional() });
const clusterEvent = z.discriminatedUnion('kind', [
  changed('vm', vmView),
  changed('node', nodeView),
  changed('network', networkView),
  changed('task', taskView),
  z.object({ kind: z.literal('ready') }),
  z.object({ kind: z.literal('resync'), ids: z.record(z.string(), z.array(z.string())) }),
]);

/**
 * `vm`, `node`, `network`, `task`: this one changed, `document` is how it is now, and `gone` says that it is no more. `ready`: everything
 * has been told. `resync`: too much was missed; what is not among `ids` is gone, and what has changed follows.
 */
export type ClusterEvent = z.output<typeof clusterEvent>;

export type EventFilter = Omit<z.input<typeof CLUSTER.events.values>, 'last_event_id'>;

export interface StreamOptions {
  /** Id of the last event that was seen. */
  lastEventId?: string | undefined;
  signal: AbortSignal;
  timeoutMs?: number | undefined;
}

/** An event with the id to go on after it. */
export interface NumberedEvent {
  id: string | undefined;
  event: ClusterEvent;
}

/**
 * The events of one connection, until the API ends it (after an hour, or when it stops).
 * @throws ClientError: 'connection' when it breaks or is silent for too long, 'aborted' by the signal, 'answer' when the API refuses it.
 */
export async function* eventStream(connection: Connection, filter: EventFilter, options: StreamOptions): AsyncGenerator<NumberedEvent, void, undefined> {
  const { signal, lastEventId, timeoutMs } = options;
  const headers = { Accept: 'text/event-stream', ...(lastEventId === undefined ? {} : { 'Last-Event-ID': lastEventId }) };
  const response = await connection.open(CLUSTER.events, filter, { headers, stop: signal, signal, timeoutMs });
  const parser = new SseParser();
  for await (const piece of pieces(response, connection.clock, signal)) {
    for (const event of parser.push(piece)) yield { id: event.id, event: parseEvent(event) };
  }
}

async function* pieces(response: IncomingMessage, clock: Clock, signal: AbortSignal): AsyncGenerator<string, void, undefined> {
  response.setEncoding('utf8');
  const beat = (): Timer => clock.after(SILENCE_MAX_MS, () => response.destroy(new Error('the stream has been silent for too long')));
  const stop = (): void => void response.destroy(new Error('the stream was stopped'));
  signal.addEventListener('abort', stop, { once: true });
  let timer = beat();
  try {
    for await (const piece of response) {
      timer.cancel();
      yield String(piece);
      timer = beat();
    }
  } catch (error) {
    if (signal.aborted) throw new ClientError('aborted', 'the call was aborted', { cause: error });
    throw lost({ method: CLUSTER.events.method, path: CLUSTER.events.path }, error);
  } finally {
    timer.cancel();
    signal.removeEventListener('abort', stop);
    response.destroy();
  }
}

function parseEvent({ name, data }: SseEvent): ClusterEvent {
  const given = parseJson(data);
  const result = clusterEvent.safeParse(typeof given === 'object' && given !== null ? { ...given, kind: name } : given);
  if (result.success) return result.data;
  throw new ClientError('malformed', 'an event is not what the API promises', { details: faultLines(result.error) });
}
