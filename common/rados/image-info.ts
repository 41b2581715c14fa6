import type { Context } from './handler.ts';
import { withRoom } from './handler.ts';
import type { RbdImageInfo, RbdImageSpec, RbdParent, RbdSnapshotInfo } from './image-calls.ts';
import { featureNames, flagNames, operationNames } from './image-features.ts';
import { Cells } from './memory.ts';
import { addressOf, steadyBytes, type Pointer } from './native-library.ts';

/** sizeof(rbd_image_info_t): three 64-bit fields, an int, and deprecated ones. */
const INFO_BYTES = 160;
/** rbd_linked_image_spec_t: a number, four pointers and a flag, in 8 bytes each. */
const LINKED_SPEC_CELLS = 6;
/** rbd_snap_info_t: number, size and name. */
const SNAPSHOT_CELLS = 3;
const FIRST_CHILDREN = 32;
const FIRST_SNAPSHOTS = 64;
const NAME_BYTES = 256;
const ENOENT = -2;
/** RBD_SNAP_NAMESPACE_TYPE_USER; others belong to groups, mirrors and the trash. */
const OF_USER = 0;

/** Everything about an open image. */
export function imageInfo(context: Context, image: Pointer, name: string): RbdImageInfo {
  const { rbd } = context;
  const stat = steadyBytes(INFO_BYTES);
  context.check(rbd.stat(image, stat, INFO_BYTES));
  const snapshots = snapshotsOf(context, image);
  const out = new Cells(2);
  const wide = (get: (image: Pointer, out: Buffer) => number): bigint => {
    context.check(get(image, out.buffer));
    return out.wide(0);
  };
  const timeMs = (get: (image: Pointer, out: Buffer) => number): number => {
    context.check(get(image, out.buffer));
    return out.timeMs(0);
  };
  const parent = parentOf(context, image);
  return {
    name,
    id: textOf(context, image, rbd.id),
    sizeBytes: Number(stat.readBigUInt64LE(0)),
    objectSizeBytes: Number(stat.readBigUInt64LE(8)),
    objectCount: Number(stat.readBigUInt64LE(16)),
    order: stat.readInt32LE(24),
    features: featureNames(wide(rbd.features)),
    opFeatures: operationNames(wide(rbd.opFeatures)),
    flags: flagNames(wide(rbd.flags)),
    blockNamePrefix: textOf(context, image, rbd.blockNamePrefix),
    stripeUnitBytes: Number(wide(rbd.stripeUnit)),
    stripeCount: Number(wide(rbd.stripeCount)),
    dataPoolId: context.check(rbd.dataPoolId(image)),
    snapshotCount: snapshots.length,
    parent,
    overlapBytes: parent === undefined ? 0 : Number(wide(rbd.overlap)),
    children: snapshots.length === 0 ? [] : childrenOf(context, image),
    createdAtMs: timeMs(rbd.createTimestamp),
    accessedAtMs: timeMs(rbd.accessTimestamp),
    modifiedAtMs: timeMs(rbd.modifyTimestamp),
  };
}

function textOf(context: Context, image: Pointer, get: (image: Pointer, text: Buffer, sizeBytes: number) => number): string {
  const text = steadyBytes(NAME_BYTES);
  context.check(get(image, text, NAME_BYTES));
  return context.memory.cText(addressOf(text));
}

function parentOf(context: Context, image: Pointer): RbdParent | undefined {
  const { rbd, memory } = context;
  const spec = new Cells(LINKED_SPEC_CELLS);
  const snapshot = new Cells(SNAPSHOT_CELLS);
  const result = rbd.parent(image, spec.buffer, snapshot.buffer);
  if (result === ENOENT) return undefined;
  context.check(result);
  const parent = { ...linkedSpec(context, spec.buffer), snapshot: memory.cText(snapshot.wide(2)) };
  rbd.linkedImageSpecListCleanup(spec.buffer, 1);
  rbd.snapSpecCleanup(snapshot.buffer);
  return parent;
}

/** Clones of all snapshots of the image. */
export function childrenOf(context: Context, image: Pointer): RbdImageSpec[] {
  const { rbd } = context;
  const specBytes = LINKED_SPEC_CELLS * 8;
  const count = new Cells(1);
  const list = (room: Buffer): number => {
    count.set(0, Math.floor(room.byteLength / specBytes));
    return rbd.children(image, room, count.buffer);
  };
  return withRoom(context, FIRST_CHILDREN * specBytes, list, (room) => {
    const found = Array.from({ length: count.number(0) }, (_, at) => linkedSpec(context, room.subarray(at * specBytes)));
    rbd.linkedImageSpecListCleanup(room, found.length);
    return found;
  });
}

function linkedSpec({ memory }: Context, spec: Buffer): RbdImageSpec {
  const text = (at: number): string => memory.cText(spec.readBigUInt64LE(at * 8));
  return { pool: text(1), namespace: text(2), imageId: text(3), image: text(4), isInTrash: spec[40] !== 0 };
}

/** Snapshots that somebody asked for, in the order in which they were taken. */
export function snapshotsOf(context: Context, image: Pointer): RbdSnapshotInfo[] {
  const { rbd, memory } = context;
  const cellBytes = SNAPSHOT_CELLS * 8;
  const count = new Cells(1);
  const list = (room: Buffer): number => {
    count.set(0, Math.floor(room.byteLength / cellBytes));
    return rbd.snapList(image, room, count.buffer);
  };
  return withRoom(context, FIRST_SNAPSHOTS * cellBytes, list, (room, found) => {
    const all = Array.from({ length: found }, (_, at) => {
      const cell = (index: number): bigint => room.readBigUInt64LE(at * cellBytes + index * 8);
      return { id: Number(cell(0)), sizeBytes: Number(cell(1)), name: memory.cText(cell(2)) };
    });
    if (found > 0) rbd.snapListEnd(room);
    return all.flatMap((one) => completed(context, image, one));
  });
}

function completed(context: Context, image: Pointer, one: { id: number; sizeBytes: number; name: string }): RbdSnapshotInfo[] {
  const { rbd } = context;
  const out = new Cells(2);
  context.check(rbd.snapNamespaceType(image, one.id, out.buffer));
  if (out.int(0) !== OF_USER) return [];
  context.check(rbd.snapIsProtected(image, one.name, out.buffer));
  const isProtected = out.int(0) !== 0;
  context.check(rbd.snapTimestamp(image, one.id, out.buffer));
  return [{ ...one, isProtected, createdAtMs: out.timeMs(0) }];
}
