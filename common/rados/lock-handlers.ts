import { handle, withImage, withRoom, type Context, type Handler } from './handler.ts';
import { breakLockCall, breakLockOwnerCall, lockCall, lockersCall, lockOwnersCall, watchersCall, type RbdLockers, type RbdLockOwners, type RbdWatcher } from './image-calls.ts';
import { Cells, splitTexts } from './memory.ts';
import type { Pointer } from './native-library.ts';

const FIRST_TEXT_BYTES = 4_096;
/** rbd_image_watcher_t: address, client and cookie. */
const WATCHER_BYTES = 24;
const FIRST_WATCHERS = 16;
/** The exclusive lock has one owner; a shared one several. */
const FIRST_OWNERS = 16;
const ENOENT = -2;
/** RBD_LOCK_MODE_EXCLUSIVE. */
const EXCLUSIVE = 0;

/** Calls that concern who has an image. */
export const lockHandlers: readonly Handler[] = [
  handle(lockersCall, (context, args) => withImage(context, args, 'read', (image) => lockersOf(context, image))),
  // librbd tells owners to those only who might become one.
  handle(lockOwnersCall, (context, args) => withImage(context, args, 'write', (image) => ownersOf(context, image))),
  handle(lockCall, (context, args) => withImage(context, args, 'write', (image) => void context.check(context.rbd.lockExclusive(image, args.cookie)))),
  handle(breakLockCall, (context, args) => withImage(context, args, 'full-try', (image) => void context.check(context.rbd.breakLock(image, args.client, args.cookie)))),
  handle(breakLockOwnerCall, (context, args) => withImage(context, args, 'full-try', (image) => void context.check(context.rbd.lockBreak(image, EXCLUSIVE, args.owner)))),
  handle(watchersCall, (context, args) => withImage(context, args, 'read', (image) => watchersOf(context, image))),
];

function lockersOf(context: Context, image: Pointer): RbdLockers {
  // Whether it is exclusive, and the lengths of tag, clients, cookies and addresses, each of which has a quarter of the room.
  const out = new Cells(5);
  const part = (room: Buffer, at: number): Buffer => room.subarray((at * room.byteLength) / 4, ((at + 1) * room.byteLength) / 4);
  const list = (room: Buffer): number => {
    for (const at of [1, 2, 3, 4]) out.set(at, room.byteLength / 4);
    const { listLockers } = context.rbd;
    return listLockers(image, out.at(0), part(room, 0), out.at(1), part(room, 1), out.at(2), part(room, 2), out.at(3), part(room, 3), out.at(4));
  };
  return withRoom(context, 4 * FIRST_TEXT_BYTES, list, (room, count) => {
    if (count === 0) return { isExclusive: false, tag: '', lockers: [] };
    const texts = (at: number): string[] => splitTexts(part(room, at).subarray(0, out.number(at + 1)));
    const [clients, cookies, addresses] = [texts(1), texts(2), texts(3)];
    const lockers = clients.map((client, at) => ({ client, cookie: cookies[at] ?? '', address: addresses[at] ?? '' }));
    return { isExclusive: out.int(0) !== 0, tag: texts(0)[0] ?? '', lockers };
  });
}

function ownersOf(context: Context, image: Pointer): RbdLockOwners {
  const { rbd, memory } = context;
  const out = new Cells(2);
  const list = (room: Buffer): number => {
    out.set(1, room.byteLength / 8);
    const result = rbd.lockOwners(image, out.at(0), room, out.at(1));
    if (result === ENOENT) out.set(1, 0);
    return result === ENOENT ? 0 : result;
  };
  return withRoom(context, FIRST_OWNERS * 8, list, (room) => {
    const owners = Array.from({ length: out.number(1) }, (_, at) => memory.cText(room.readBigUInt64LE(at * 8)));
    if (owners.length > 0) rbd.lockOwnersCleanup(room, owners.length);
    return { mode: out.int(0) === EXCLUSIVE ? 'exclusive' : 'shared', owners };
  });
}

function watchersOf(context: Context, image: Pointer): RbdWatcher[] {
  const { rbd, memory } = context;
  const count = new Cells(1);
  const list = (room: Buffer): number => {
    count.set(0, Math.floor(room.byteLength / WATCHER_BYTES));
    return rbd.watchers(image, room, count.buffer);
  };
  return withRoom(context, FIRST_WATCHERS * WATCHER_BYTES, list, (room) => {
    const found = Array.from({ length: count.number(0) }, (_, at) => {
      const cell = (index: number): bigint => room.readBigUInt64LE(at * WATCHER_BYTES + index * 8);
      return { address: memory.cText(cell(0)), clientId: Number(cell(1)), cookie: cell(2) };
    });
    rbd.watchersCleanup(room, found.length);
    return found;
  });
}
