import { createHash } from 'node:crypto';

/** 64 bits: two texts of one place do not meet by chance. */
const DIGEST_CHARS = 16;

/** A short digest of a text in hexadecimal, safe in file names and comments. */
export function textDigest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, DIGEST_CHARS);
}
