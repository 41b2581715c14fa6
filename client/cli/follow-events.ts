import { ClientError, toClientError } from '../client-error.ts';
import type { ClusterEvent } from '../event-stream.ts';
import type { Context } from './context.ts';
import { safeLine } from './output/safe-text.ts';

const KINDS = ['vm', 'node', 'network', 'task'] as const;
type Kind = (typeof KINDS)[number];

function kindOf(word: string): Kind {
  const found = KINDS.find((kind) => kind === word);
  if (found === undefined) throw new ClientError('arguments', `--kind: must be one of ${KINDS.join(', ')}`, { details: [`given: ${word}`] });
  return found;
}

export interface EventChoice {
  readonly kinds: readonly string[] | undefined;
  readonly id: string | undefined;
  /** End after so many. */
  readonly count: number | undefined;
}

/** Writes a line for each event until Ctrl-C. @throws ClientError. */
export async function followEvents(context: Context, { kinds, id, count }: EventChoice): Promise<void> {
  const over = new AbortController();
  const restore = context.terminal.onInterrupt(() => over.abort());
  const cluster = await context.cluster();
  const asDocument = context.settings.format === 'json' || context.settings.format === 'yaml';
  let written = 0;
  try {
    for await (const event of cluster.events({ kinds: kinds?.map(kindOf), id }, { signal: over.signal })) {
      if (event.kind === 'ready' || event.kind === 'resync') continue;
      context.write(asDocument ? `${JSON.stringify(event)}\n` : `${safeLine(eventLine(event))}\n`);
      written += 1;
      if (written === count) return;
    }
  } catch (error) {
    if (!over.signal.aborted || toClientError(error).kind !== 'aborted') throw error;
  } finally {
    restore();
  }
}

type Change = Exclude<ClusterEvent, { kind: 'ready' } | { kind: 'resync' }>;

/** One change in a line. */
export function eventLine(event: Change): string {
  if (event.gone) return `${event.kind} ${event.id} is gone`;
  switch (event.kind) {
    case 'vm':
      return `vm ${event.document?.name ?? event.id} ${event.document?.state ?? ''} on ${event.document?.node ?? ''}${event.document?.settled === false ? ' (on its way)' : ''}`;
    case 'node':
      return `node ${event.id} ${[event.document?.daemon_state, event.document?.coordinator_state, event.document?.domain_state].join(', ')}`;
    case 'network':
      return `network ${event.id} ${event.document?.description ?? ''}`;
    case 'task':
      return `task ${event.id} ${event.document?.state ?? ''} ${event.document?.current ?? 0}/${event.document?.total ?? 0} ${event.document?.status ?? ''}`;
  }
}
