/** A thread of the child process: carries out one call at a time, and is blocked for as long as that takes. */
import { parentPort } from 'node:worker_threads';
import { toAppError } from '../errors.ts';
import { clusterHandlers } from './cluster-handlers.ts';
import type { Native } from './handler.ts';
import { imageHandlers } from './image-handlers.ts';
import { removalHandlers } from './image-removal.ts';
import { listingHandlers } from './image-listing.ts';
import { loadLibrados } from './librados.ts';
import { loadLibrbd } from './librbd.ts';
import { lockHandlers } from './lock-handlers.ts';
import { Memory } from './memory.ts';
import { toWorker, type FromWorker } from './message.ts';
import { objectHandlers } from './object-handlers.ts';
import { snapshotHandlers } from './snapshot-handlers.ts';

const all = [...clusterHandlers, ...objectHandlers, ...imageHandlers, ...removalHandlers, ...listingHandlers, ...snapshotHandlers, ...lockHandlers];
const handlers = new Map(all.map((handler) => [handler.name, handler]));
const native: Native = { rados: loadLibrados(), rbd: loadLibrbd(), memory: new Memory() };

function answer(message: unknown): FromWorker {
  const { id, call, args, cluster, handle } = toWorker.parse(message);
  try {
    return { kind: 'done', id, result: handlers.get(call)?.run(native, { cluster, handle }, args) };
  } catch (error) {
    const { code, message: text, details } = toAppError(error);
    return { kind: 'failed', id, failure: { code, message: text, details } };
  }
}

parentPort?.on('message', (message) => parentPort?.postMessage(answer(message)));
