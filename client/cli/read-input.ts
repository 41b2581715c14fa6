import { readFileSync } from 'node:fs';
import { ClientError } from '../client-error.ts';
import type { Terminal } from './terminal.ts';

/** Definitions and tokens are far smaller; what is larger is a mistake. */
const INPUT_MAX_BYTES = 16 * 1024 * 1024;

/** The text of a file, or with `-` all of standard input, however late it comes. @throws ClientError 'arguments'. */
export async function readInput({ stdin }: Terminal, file: string): Promise<string> {
  try {
    return file === '-' ? await allOf(stdin) : readFileSync(file, 'utf8');
  } catch (cause) {
    throw cause instanceof ClientError ? cause : new ClientError('arguments', `${file === '-' ? 'standard input' : file} cannot be read`, { cause });
  }
}

async function allOf(stdin: Terminal['stdin']): Promise<string> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of stdin) {
    const piece = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk);
    sizeBytes += piece.length;
    if (sizeBytes > INPUT_MAX_BYTES) throw new ClientError('arguments', 'standard input is too large');
    chunks.push(piece);
  }
  return Buffer.concat(chunks).toString('utf8');
}
