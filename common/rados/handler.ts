import { AppError } from '../errors.ts';
import type { Call } from './call.ts';
import { toRadosError } from './errno.ts';
import type { Librados } from './librados.ts';
import type { Librbd } from './librbd.ts';
import { Cells, type Memory } from './memory.ts';
import { steadyBytes, type Pointer } from './native-library.ts';
import type { ObjectPlace } from './object-calls.ts';

/** The libraries as one thread has them. */
export interface Native {
  rados: Librados;
  rbd: Librbd;
  memory: Memory;
}

/** What a handler works on: the connection's handle, and the one that the call names, 0 when it names none. */
export interface Context extends Native {
  cluster: Pointer;
  handle: Pointer;
  /** The result unless it is an error. @throws AppError by errno, with the call's name and `details`. */
  check(result: number, details?: Record<string, unknown>): number;
}

/** Carries out one kind of call, in a thread of its own. */
export interface Handler {
  readonly name: string;
  run(native: Native, on: { cluster: Pointer; handle: Pointer }, args: unknown): unknown;
}

/** Names in the arguments that an error should tell. */
const TOLD = ['pool', 'namespace', 'object', 'image', 'snapshot', 'name', 'toImage'] as const;

/** Ties a call to what carries it out; arguments are parsed here. */
export function handle<Args, Result>(call: Call<Args, Result>, work: (context: Context, args: Args) => Result | bigint): Handler {
  return {
    name: call.name,
    run(native, on, raw) {
      const args = parseArgs(call, raw);
      const check = (result: number, details: Record<string, unknown> = {}): number => {
        if (result < 0) throw toRadosError(result, call.effect, { call: call.name, ...namesIn(raw), ...details });
        return result;
      };
      return work({ ...native, ...on, check }, args);
    },
  };
}

function parseArgs<Args, Result>(call: Call<Args, Result>, raw: unknown): Args {
  const parsed = call.args.safeParse(raw);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) => `${issue.path.join('.')} ${issue.message}`);
  throw new AppError('invalid', 'Ceph cannot be asked that', { call: call.name, problems });
}

function namesIn(args: unknown): Record<string, unknown> {
  if (typeof args !== 'object' || args === null) return {};
  return Object.fromEntries(Object.entries(args).filter(([key, value]) => TOLD.some((told) => told === key) && value !== ''));
}

/**
 * What is done in a pool. While it is full a change waits, until its time limit; with `full-try` it is done when it needs no room, as removals do not, and refused at
 * once when it does.
 */
export type Access = 'read' | 'write' | 'full-try';

/** Runs `work` on the pool; the context of it ends with that. */
export function withIoctx<T>(context: Context, place: ObjectPlace, work: (ioctx: Pointer) => T, access: Access = 'write'): T {
  const out = new Cells(1);
  context.check(context.rados.ioctxCreate(context.cluster, place.pool, out.buffer));
  const ioctx = out.wide(0);
  try {
    // Not for streams of data: they would pass an OSD's last reserve (osd_failsafe_full_ratio), and one whose device is full to the end aborts.
    if (access === 'full-try') context.rados.ioctxSetFullTry(ioctx);
    if (place.namespace !== '') context.rados.ioctxSetNamespace(ioctx, place.namespace);
    if (place.locator !== undefined) context.rados.ioctxSetLocator(ioctx, place.locator);
    return work(ioctx);
  } finally {
    context.rados.ioctxDestroy(ioctx);
  }
}

export interface OpenImage extends ObjectPlace {
  image: string;
  snapshot?: string | undefined;
}

/** An open image; somebody has to close it. */
export function openImage(context: Context, place: OpenImage, access: Access): Pointer {
  const opened = (ioctx: Pointer): Pointer => {
    const out = new Cells(1);
    const open = access === 'read' ? context.rbd.openReadOnly : context.rbd.open;
    context.check(open(ioctx, place.image, out.buffer, place.snapshot ?? null));
    return out.wide(0);
  };
  return withIoctx(context, place, opened, access);
}

/** Runs `work` on the image, which is open for that long. */
export function withImage<T>(context: Context, place: OpenImage, access: Access, work: (image: Pointer) => T): T {
  const image = openImage(context, place, access);
  let result: T;
  try {
    result = work(image);
  } catch (error) {
    context.rbd.close(image);
    throw error;
  }
  context.check(context.rbd.close(image));
  return result;
}

/** errno of a buffer that is too small. */
const ERANGE = -34;
const ROOM_MAX_BYTES = 64 * 1024 * 1024;

/**
 * Calls with more and more memory until the answer fits.
 * @param fill answers as the library does: below 0 is an error, ERANGE asks for more room.
 */
export function withRoom<T>(context: Context, startBytes: number, fill: (room: Buffer) => number, read: (room: Buffer, result: number) => T): T {
  for (let sizeBytes = startBytes; ; sizeBytes *= 4) {
    const room = steadyBytes(sizeBytes);
    const result = fill(room);
    if (result !== ERANGE || sizeBytes > ROOM_MAX_BYTES) return read(room, context.check(result));
  }
}
