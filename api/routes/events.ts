import { z } from 'zod';
import { AppError } from '../../common/errors.ts';
import { EVENT_KINDS } from '../event-ring.ts';
import type { EventStreams } from '../event-stream.ts';
import { freeText, list, optionalInteger, optionalText } from '../params/values.ts';
import { route, type Call, type Route } from '../route.ts';

const ID_MAX_CHARS = 255;

export function eventRoutes(deps: { streams: EventStreams }): Route[] {
  return [
    route({
      method: 'GET',
      path: '/events',
      summary: 'Follow the changes of VMs, nodes, networks and tasks',
      description:
        'Server-sent events. Each has the kind as its name, a transaction number as its id, and as data {kind, id, gone, document}, the document being what the element\'s GET answers. A network\'s event comes also when its access rules or reservations change. "ready" says that the stream is up to date. A client that comes back with Last-Event-ID gets what it has missed; after too long a time it gets "resync" with the ids of all that there is, and then what has changed.',
      values: z.object({
        kinds: list(z.enum(EVENT_KINDS), 'Only these kinds; all when missing.'),
        id: optionalText(freeText(ID_MAX_CHARS), 'Only the one with this name, UUID or id.'),
        last_event_id: optionalInteger({ min: 0, max: Number.MAX_SAFE_INTEGER }, 'As the header Last-Event-ID, which comes first.'),
      }),
      valueAliases: { kind: 'kinds' },
      reply: { code: 200, type: 'text/event-stream', schema: z.string() },
      handle: (values, call) => {
        const kinds = values.kinds.length === 0 ? EVENT_KINDS : values.kinds;
        deps.streams.open(call.response, { kinds, id: values.id, after: lastEventId(call) ?? values.last_event_id });
        return { kind: 'taken' };
      },
    }),
  ];
}

/** @throws AppError 'invalid' for an id that is none of ours. */
function lastEventId(call: Call): number | undefined {
  const header = call.request.headers['last-event-id'];
  if (header === undefined || header === '') return undefined;
  if (typeof header === 'string' && /^\d{1,16}$/u.test(header)) return Number(header);
  throw new AppError('invalid', 'Last-Event-ID is not an id of this stream');
}
