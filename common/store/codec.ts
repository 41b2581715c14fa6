import { AppError } from '../errors.ts';
import { parseJson } from '../json.ts';
import { VALUE_MAX_BYTES } from './store.ts';

/**
 * The text of a document.
 * @throws AppError 'too-large' beyond VALUE_MAX_BYTES: ZooKeeper would drop the connection, and every call in flight with it.
 */
export function encodeValue(path: string, value: unknown): string {
  const text = JSON.stringify(value);
  if (typeof text !== 'string') throw new AppError('bug', 'value is not JSON', { path });
  const sizeBytes = Buffer.byteLength(text);
  if (sizeBytes > VALUE_MAX_BYTES) {
    throw new AppError('too-large', 'document is too large for the store', { path, sizeBytes, maxBytes: VALUE_MAX_BYTES });
  }
  return text;
}

/** Parsed JSON; null for an empty znode, undefined for text that is not JSON, which no schema accepts. */
export function decodeValue(text: string): unknown {
  return text === '' ? null : parseJson(text);
}

/**
 * Refuses a path that ZooKeeper would refuse, or would take to mean something else.
 * @throws AppError 'invalid'.
 */
export function checkPath(path: string): void {
  // eslint-disable-next-line no-control-regex -- ZooKeeper refuses exactly these characters in a path.
  const valid = /^(\/[^/\u0000-\u001f\u007f-\u009f\ud800-\uf8ff\ufff0-\uffff]+)+$/u.test(path);
  if (!valid || path.split('/').some((name) => name === '.' || name === '..')) {
    throw new AppError('invalid', 'not a path of the store', { path });
  }
}

/**
 * Refuses ZooKeeper's "any version" (-1): every write is conditional.
 * @throws AppError 'bug'.
 */
export function checkVersion(path: string, version: number): void {
  if (!Number.isInteger(version) || version < 0) throw new AppError('bug', 'write without a version', { path, version });
}

/** Path of the parent; '/' for a znode at the top. */
export function parentOf(path: string): string {
  const end = path.lastIndexOf('/');
  return end <= 0 ? '/' : path.slice(0, end);
}

export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
