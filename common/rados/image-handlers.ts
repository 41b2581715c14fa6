import type { z } from 'zod';
import { AppError } from '../errors.ts';
import { handle, openImage, withImage, withIoctx, withRoom, type Context, type Handler } from './handler.ts';
import {
  imageAcquireCall,
  imageChildrenCall,
  imageCloneCall,
  imageCloseCall,
  imageCopyCall,
  imageCreateCall,
  imageFeaturesCall,
  imageFlattenCall,
  imageFlushCall,
  imageInfoCall,
  imageNamesCall,
  imageOpenCall,
  imageReadCall,
  imageRebuildObjectMapCall,
  imageRenameCall,
  imageResizeCall,
  imageSizeCall,
  imageWriteCall,
  imageZeroCall,
  metadataGetCall,
  metadataListCall,
  metadataRemoveCall,
  metadataSetCall,
  type RbdImageOptions,
} from './image-calls.ts';
import { featureBits, featureNames } from './image-features.ts';
import { childrenOf, imageInfo } from './image-info.ts';
import { Cells, splitTexts } from './memory.ts';
import { addressOf, steadyBytes, type Pointer } from './native-library.ts';
import { isZero } from './rbd-stream.ts';

/** RBD_IMAGE_OPTION_ of librbd.h. */
const OPTION = { features: 1, order: 2, stripeUnit: 3, stripeCount: 4, dataPool: 10, cloneFormat: 12 } as const;

/** RBD_LOCK_MODE_EXCLUSIVE. */
const LOCK_MODE_EXCLUSIVE = 0;

const FIRST_IMAGES = 1_024;
/** Two pointers: rbd_image_spec_t. */
const SPEC_BYTES = 16;
const FIRST_TEXT_BYTES = 4_096;

/** Calls that concern whole images and their contents. */
export const imageHandlers: readonly Handler[] = [
  handle(imageNamesCall, (context, place) => withIoctx(context, place, (ioctx) => names(context, ioctx))),
  handle(imageCreateCall, (context, args) =>
    withIoctx(context, args, (ioctx) =>
      withOptions(context, args.options, (options) => void context.check(context.rbd.create4(ioctx, args.image, args.sizeBytes, options))),
    ),
  ),
  handle(imageInfoCall, (context, args) => withImage(context, args, 'read', (image) => imageInfo(context, image, args.image))),
  handle(imageChildrenCall, (context, args) => withImage(context, args, 'read', (image) => childrenOf(context, image))),
  handle(imageResizeCall, (context, args) => withImage(context, args, 'write', (image) => resize(context, image, args))),
  handle(imageRenameCall, (context, args) => withIoctx(context, args, (ioctx) => void context.check(context.rbd.rename(ioctx, args.image, args.toImage)))),
  handle(imageCopyCall, (context, args) =>
    withImage(context, args, 'read', (image) =>
      withIoctx(context, { pool: args.toPool, namespace: args.toNamespace }, (to) =>
        withOptions(context, args.options, (options) => void context.check(context.rbd.copy3(image, to, args.toImage, options))),
        'full-try',
      ),
    ),
  ),
  handle(imageCloneCall, clone),
  handle(imageFlattenCall, (context, args) => withImage(context, args, 'write', (image) => void context.check(context.rbd.flatten(image)))),
  handle(imageFeaturesCall, (context, args) =>
    withImage(context, args, 'write', (image) => void context.check(context.rbd.updateFeatures(image, featureBits(args.features), args.isEnabled ? 1 : 0))),
  ),
  handle(imageRebuildObjectMapCall, (context, args) =>
    withImage(context, args, 'write', (image) => void context.check(context.rbd.rebuildObjectMap(image, context.memory.doNothing, null))),
  ),
  handle(metadataListCall, (context, args) => withImage(context, args, 'read', (image) => metadataList(context, image))),
  handle(metadataGetCall, (context, args) =>
    withImage(context, args, 'read', (image) =>
      withRoom(
        context,
        FIRST_TEXT_BYTES,
        (room) => {
          const length = new Cells(1);
          length.set(0, room.byteLength);
          return context.rbd.metadataGet(image, args.key, room, length.buffer);
        },
        (room) => context.memory.cText(addressOf(room)),
      ),
    ),
  ),
  handle(metadataSetCall, (context, args) => withImage(context, args, 'write', (image) => void context.check(context.rbd.metadataSet(image, args.key, args.value)))),
  handle(metadataRemoveCall, (context, args) => withImage(context, args, 'write', (image) => void context.check(context.rbd.metadataRemove(image, args.key)))),
  handle(imageOpenCall, (context, args) => openImage(context, args, args.isReadOnly ? 'read' : 'write')),
  handle(imageCloseCall, (context) => void context.check(context.rbd.close(context.handle))),
  handle(imageZeroCall, (context, { offsetBytes, zeroBytes }) => void context.check(context.rbd.writeZeroes(context.handle, offsetBytes, zeroBytes, 0, 0))),
  handle(imageAcquireCall, acquire),
  handle(imageFlushCall, (context) => void context.check(context.rbd.flush(context.handle))),
  handle(imageSizeCall, (context) => sizeOf(context, context.handle)),
  handle(imageReadCall, (context, args) => {
    const data = steadyBytes(args.lengthBytes);
    const read = context.check(context.rbd.read2(context.handle, args.offsetBytes, args.lengthBytes, data, 0));
    if (read < args.lengthBytes) throw new AppError('conflict', 'the image has become smaller', { offsetBytes: args.offsetBytes, lengthBytes: args.lengthBytes });
    return isZero(data) ? undefined : data;
  }),
  handle(imageWriteCall, (context, { data, offsetBytes }) => void context.check(context.rbd.write2(context.handle, offsetBytes, data.byteLength, data, 0))),
];

function names(context: Context, ioctx: Pointer): string[] {
  const count = new Cells(1);
  const list = (room: Buffer): number => {
    count.set(0, room.byteLength / SPEC_BYTES);
    return context.rbd.list2(ioctx, room, count.buffer);
  };
  return withRoom(context, FIRST_IMAGES * SPEC_BYTES, list, (specs) => {
    const found = Array.from({ length: count.number(0) }, (_, at) => context.memory.cText(specs.readBigUInt64LE(at * SPEC_BYTES + 8)));
    context.rbd.imageSpecListCleanup(specs, found.length);
    return found.sort();
  });
}

function sizeOf(context: Context, image: Pointer): number {
  const out = new Cells(1);
  context.check(context.rbd.size(image, out.buffer));
  return out.number(0);
}

function acquire(context: Context): undefined {
  const features = new Cells(1);
  context.check(context.rbd.features(context.handle, features.buffer));
  if (featureNames(features.wide(0)).includes('exclusive-lock')) context.check(context.rbd.lockAcquire(context.handle, LOCK_MODE_EXCLUSIVE));
}

/** librbd's own check of shrinking is bound to a callback. */
function resize(context: Context, image: Pointer, args: z.infer<typeof imageResizeCall.args>): void {
  const sizeBytes = sizeOf(context, image);
  if (args.sizeBytes < sizeBytes && !args.allowShrink) {
    throw new AppError('invalid', 'the image would become smaller', { image: args.image, sizeBytes, wantedBytes: args.sizeBytes });
  }
  context.check(context.rbd.resize(image, args.sizeBytes));
}

function clone(context: Context, args: z.infer<typeof imageCloneCall.args>): undefined {
  withIoctx(context, args, (from) =>
    withIoctx(context, { pool: args.toPool, namespace: args.toNamespace }, (to) =>
      withOptions(context, args.options, (options) => {
        if (args.cloneFormat !== undefined) context.check(context.rbd.optionsSetNumber(options, OPTION.cloneFormat, args.cloneFormat));
        context.check(context.rbd.clone3(from, args.image, args.snapshot, to, args.toImage, options));
      }),
    ),
  );
}

function withOptions(context: Context, wanted: RbdImageOptions, work: (options: Pointer) => void): undefined {
  const { rbd } = context;
  const out = new Cells(1);
  rbd.optionsCreate(out.buffer);
  const options = out.wide(0);
  const set = (option: number, value: number | bigint | undefined): void => {
    if (value !== undefined) context.check(rbd.optionsSetNumber(options, option, value));
  };
  try {
    set(OPTION.order, wanted.order);
    set(OPTION.features, wanted.features === undefined ? undefined : featureBits(wanted.features));
    set(OPTION.stripeUnit, wanted.stripeUnitBytes);
    set(OPTION.stripeCount, wanted.stripeCount);
    if (wanted.dataPool !== undefined) context.check(rbd.optionsSetText(options, OPTION.dataPool, wanted.dataPool));
    work(options);
  } finally {
    rbd.optionsDestroy(options);
  }
}

function metadataList(context: Context, image: Pointer): [string, string][] {
  const lengths = new Cells(2);
  // Half of the room is for the keys.
  const list = (room: Buffer): number => {
    const half = room.byteLength / 2;
    lengths.set(0, half);
    lengths.set(1, half);
    return context.rbd.metadataList(image, '', 0, room.subarray(0, half), lengths.at(0), room.subarray(half), lengths.at(1));
  };
  return withRoom(context, 2 * FIRST_TEXT_BYTES, list, (room) => {
    const half = room.byteLength / 2;
    const keys = splitTexts(room.subarray(0, lengths.number(0)));
    const values = splitTexts(room.subarray(half, half + lengths.number(1)));
    return keys.map((key, at) => [key, values[at] ?? '']);
  });
}

