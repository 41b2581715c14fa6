/** What is kept of a console. */
export interface ConsoleLimits {
  readonly linesMax: number;
  /** Of the JSON text: a control character counts six bytes there. */
  readonly totalMaxBytes: number;
  /** A longer line keeps its end. */
  readonly lineMaxBytes: number;
}

export interface ConsoleText {
  readonly lines: readonly string[];
  /** The last line has no newline yet. */
  readonly unfinished: boolean;
}

/**
 * Number of leading bytes that end with a whole UTF-8 character; the at most three others begin one whose rest is not there yet.
 * Bytes that can never become a character count as whole: they are replaced when decoded.
 */
export function wholeUtf8Bytes(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back += 1) {
    const byte = bytes[bytes.length - back] ?? 0;
    if (byte < 0x80) return bytes.length;
    if (byte >= 0xc0) return sequenceLength(byte) > back ? bytes.length - back : bytes.length;
  }
  return bytes.length;
}

/** Length of the character that a lead byte announces (RFC 3629). */
function sequenceLength(lead: number): number {
  if (lead >= 0xf8) return 1;
  if (lead >= 0xf0) return 4;
  return lead >= 0xe0 ? 3 : 2;
}

/** UTF-8 with what is not UTF-8 replaced by U+FFFD. */
export function decodeConsole(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
}

/** The console after `text` was printed: the last lines within the limits. */
export function appendConsole(before: ConsoleText, text: string, limits: ConsoleLimits): ConsoleText {
  if (text === '') return before;
  const parts = text.split('\n');
  const kept = [...before.lines];
  const first = before.unfinished ? (kept.pop() ?? '') : '';
  parts[0] = first + (parts[0] ?? '');
  const unfinished = parts.at(-1) !== '';
  if (!unfinished) parts.pop();
  const fresh = parts.slice(-limits.linesMax).map((line, index, all) => {
    const finished = index < all.length - 1 || !unfinished;
    if (!line.endsWith('\r')) return cutLine(line, limits.lineMaxBytes);
    // It belongs to the end of the line, unless something else follows; so it takes no room from the line.
    const text = cutLine(line.slice(0, -1), limits.lineMaxBytes);
    return finished ? text : `${text}\r`;
  });
  return { lines: lastWithin([...kept, ...fresh].slice(-limits.linesMax), limits.totalMaxBytes), unfinished };
}

function cutLine(line: string, maxBytes: number): string {
  if (line.length * 3 <= maxBytes) return line;
  const bytes = Buffer.from(line, 'utf8');
  if (bytes.length <= maxBytes) return line;
  let start = bytes.length - maxBytes;
  while (((bytes[start] ?? 0) & 0xc0) === 0x80) start += 1;
  return bytes.toString('utf8', start);
}

function lastWithin(lines: readonly string[], maxBytes: number): readonly string[] {
  let totalBytes = 0;
  for (let index = lines.length - 1; index >= 0; index -= 1) {
    totalBytes += Buffer.byteLength(JSON.stringify(lines[index])) + 1;
    if (totalBytes > maxBytes) return lines.slice(index + 1);
  }
  return lines;
}
