import { constants } from 'node:os';
import { handle, withIoctx, type Context, type Handler } from './handler.ts';
import { imageRemoveCall } from './image-calls.ts';
import { Cells } from './memory.ts';
import type { Pointer } from './native-library.ts';

/** librbd puts an image into the pool's trash first, which is this object; and what a name stands for is in one of its own (rbd_types.h). */
const TRASH = 'rbd_trash';
const NAME_PREFIX = 'rbd_id.';

/** LIBRADOS_OPERATION_FULL_FORCE of librados.h: also while the pool is full. */
const FULL_FORCE = 128;
/** LIBRADOS_CREATE_IDEMPOTENT of librados.h. */
const IDEMPOTENT = 0;

/**
 * Removes an image, also from a pool that is full and that nothing was removed from before: librbd then has no trash and cannot make one, and calls that ENOENT,
 * as `rbd rm` does (16.2). The trash is the one thing that is made regardless, since it gives room.
 */
export const removalHandlers: readonly Handler[] = [
  handle(imageRemoveCall, (context, args) => withIoctx(context, args, (ioctx) => remove(context, ioctx, args.image), 'full-try')),
];

function remove(context: Context, ioctx: Pointer, image: string): undefined {
  const result = context.rbd.remove(ioctx, image);
  if (result !== -constants.errno.ENOENT || !isThere(context, ioctx, `${NAME_PREFIX}${image}`) || isThere(context, ioctx, TRASH)) {
    context.check(result);
    return;
  }
  makeTrash(context, ioctx);
  context.check(context.rbd.remove(ioctx, image));
}

function isThere({ rados }: Context, ioctx: Pointer, object: string): boolean {
  const out = new Cells(2);
  return rados.stat(ioctx, object, out.at(0), out.at(1)) >= 0;
}

function makeTrash(context: Context, ioctx: Pointer): void {
  const { rados } = context;
  const operation = rados.createWriteOperation();
  try {
    rados.writeCreate(operation, IDEMPOTENT, null);
    context.check(rados.writeOperate(operation, ioctx, TRASH, null, FULL_FORCE));
  } finally {
    rados.releaseWriteOperation(operation);
  }
}
