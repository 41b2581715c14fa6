/** One event of a stream of server-sent events. */
export interface SseEvent {
  /** Undefined when the event has none of its own. */
  id: string | undefined;
  name: string;
  data: string;
}

/** Takes the stream in pieces of any size (HTML Living Standard, 9.2.6). Comments, which keep a connection alive, are no events. */
export class SseParser {
  #rest = '';

  /** The events that are complete with this piece. */
  push(piece: string): SseEvent[] {
    const lines = `${this.#rest}${piece}`.replaceAll('\r\n', '\n').split('\n\n');
    this.#rest = lines.pop() ?? '';
    return lines.flatMap(eventOf);
  }
}

function eventOf(block: string): SseEvent[] {
  const fields = block.split('\n').map(fieldOf);
  const last = (name: string): string | undefined => fields.findLast((field) => field.name === name)?.value;
  const data = fields.filter((field) => field.name === 'data').map((field) => field.value);
  return data.length === 0 ? [] : [{ id: last('id'), name: last('event') ?? 'message', data: data.join('\n') }];
}

function fieldOf(line: string): { name: string; value: string } {
  const colon = line.indexOf(':');
  if (colon < 0) return { name: line, value: '' };
  return { name: line.slice(0, colon), value: line.slice(colon + 1).replace(/^ /u, '') };
}
