import { handle, withImage, type Handler } from './handler.ts';
import {
  snapshotCreateCall,
  snapshotListCall,
  snapshotProtectCall,
  snapshotRemoveCall,
  snapshotRenameCall,
  snapshotRollbackCall,
  snapshotUnprotectCall,
} from './image-calls.ts';
import { snapshotsOf } from './image-info.ts';

/** RBD_SNAP_REMOVE_FORCE of librbd.h: takes protection off and flattens clones. */
const REMOVE_FORCE = 3;

/** Where an image is, without the snapshot that the call is about: the image itself is opened. */
function head<T extends { pool: string; namespace: string; image: string }>({ pool, namespace, image }: T) {
  return { pool, namespace, image };
}

/** Calls that concern snapshots. */
export const snapshotHandlers: readonly Handler[] = [
  handle(snapshotListCall, (context, args) => withImage(context, args, 'read', (image) => snapshotsOf(context, image))),
  handle(snapshotCreateCall, (context, args) => withImage(context, head(args), 'write', (image) => void context.check(context.rbd.snapCreate(image, args.snapshot)))),
  handle(snapshotRemoveCall, (context, args) =>
    withImage(context, head(args), 'full-try', (image) => {
      context.check(context.rbd.snapRemove2(image, args.snapshot, args.force ? REMOVE_FORCE : 0, context.memory.doNothing, null));
    }),
  ),
  handle(snapshotRenameCall, (context, args) =>
    withImage(context, head(args), 'write', (image) => void context.check(context.rbd.snapRename(image, args.snapshot, args.toSnapshot))),
  ),
  handle(snapshotProtectCall, (context, args) => withImage(context, head(args), 'write', (image) => void context.check(context.rbd.snapProtect(image, args.snapshot)))),
  handle(snapshotUnprotectCall, (context, args) => withImage(context, head(args), 'full-try', (image) => void context.check(context.rbd.snapUnprotect(image, args.snapshot)))),
  handle(snapshotRollbackCall, (context, args) => withImage(context, head(args), 'write', (image) => void context.check(context.rbd.snapRollback(image, args.snapshot)))),
];
