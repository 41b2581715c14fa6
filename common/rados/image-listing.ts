import { isAppError } from '../errors.ts';
import { CephDecoder } from './ceph-decoder.ts';
import { handle, withIoctx, type Context, type Handler } from './handler.ts';
import { imageListingsCall, type RbdImageListing } from './image-calls.ts';
import { featureNames, flagNames, operationNames } from './image-features.ts';
import { Cells } from './memory.ts';
import { NULL, type Pointer } from './native-library.ts';
import { drainOmap, omapPage } from './object-handlers.ts';

/** Objects of librbd and cls_rbd with a pool's images and with what is known of each, alike since image format 2. */
const DIRECTORY = 'rbd_directory';
const NAME_KEY = 'name_';
const HEADER = 'rbd_header.';
const SNAPSHOT_KEY = 'snapshot_';
/** What an OSD gives at once (osd_max_omap_entries_per_request). */
const PAGE_ENTRIES = 1_024;
/** Images that are asked for together: memory and the OSDs' queues stay small, and all OSDs have something to do. */
const TOGETHER = 512;
const ENOENT = -2;

interface Named {
  name: string;
  id: string;
}

/** A request on its way. */
interface Asked {
  image: Named;
  operation: Pointer;
  completion: Pointer;
  /** Of the iterator, the flag for more, and the operation's own result. */
  out: Cells;
}

type Entries = readonly (readonly [string, Buffer])[];

/** The listing of a pool by the images' own objects: one request for each, many on their way at once, no image opened. */
export const listingHandlers: readonly Handler[] = [handle(imageListingsCall, (context, place) => withIoctx(context, place, (ioctx) => listings(context, ioctx)))];

function listings(context: Context, ioctx: Pointer): RbdImageListing[] {
  const images = namesAndIds(context, ioctx);
  const found: RbdImageListing[] = [];
  for (let at = 0; at < images.length; at += TOGETHER) {
    const asked = images.slice(at, at + TOGETHER).map((image) => ask(context, ioctx, image));
    // Every answer is taken before a failure of one is told: the library writes to our memory until then.
    const answers = asked.map((one) => ({ image: one.image, ...answer(context, one) }));
    for (const { image, result, entries, hasMore } of answers) {
      if (result === ENOENT) continue;
      context.check(result, { image: image.name });
      found.push(toListing(image, hasMore ? allOf(context, ioctx, image) : entries));
    }
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

function namesAndIds(context: Context, ioctx: Pointer): Named[] {
  const isNamed = ([key]: readonly [string, Buffer]): boolean => key.startsWith(NAME_KEY);
  try {
    const entries = pages(context, ioctx, DIRECTORY, NAME_KEY).filter(isNamed);
    return entries.map(([key, value]) => ({ name: key.slice(NAME_KEY.length), id: new CephDecoder(value).text() }));
  } catch (error) {
    // The directory comes with the first image.
    if (isAppError(error, 'not-found')) return [];
    throw error;
  }
}

function pages(context: Context, ioctx: Pointer, object: string, prefix: string): [string, Buffer][] {
  const found: [string, Buffer][] = [];
  for (let after = ''; ; ) {
    const page = omapPage(context, ioctx, object, { after, prefix, entriesMax: PAGE_ENTRIES });
    found.push(...page.entries);
    after = page.entries.at(-1)?.[0] ?? '';
    if (!page.hasMore || after === '') return found;
  }
}

function allOf(context: Context, ioctx: Pointer, image: Named): Entries {
  return pages(context, ioctx, `${HEADER}${image.id}`, '');
}

function ask({ rados }: Context, ioctx: Pointer, image: Named): Asked {
  const operation = rados.createReadOperation();
  const out = new Cells(4);
  rados.readOmapValues(operation, '', '', PAGE_ENTRIES, out.at(0), out.at(1), out.at(2));
  rados.createCompletion(null, null, out.at(3));
  const completion = out.wide(3);
  rados.startReadOperate(operation, ioctx, completion, `${HEADER}${image.id}`, 0);
  return { image, operation, completion, out };
}

function answer(context: Context, { operation, completion, out }: Asked): { result: number; entries: Entries; hasMore: boolean } {
  const { rados } = context;
  rados.waitForComplete(completion);
  const result = rados.completionResult(completion) || out.int(2);
  rados.releaseCompletion(completion);
  const entries = out.wide(0) === NULL ? [] : drainOmap(context, out.wide(0));
  rados.releaseReadOperation(operation);
  return { result, entries, hasMore: out.buffer[8] !== 0 };
}

/** Values of the header's omap, without heads except for the parent (cls_rbd.cc, cls_rbd_types.h). */
function toListing(image: Named, entries: Entries): RbdImageListing {
  const values = new Map(entries);
  const field = <T>(key: string, read: (decoder: CephDecoder) => T, absent: T): T => {
    const value = values.get(key);
    return value === undefined ? absent : read(new CephDecoder(value));
  };
  const timeMs = (key: string): number => field(key, (decoder) => decoder.timeMs(), 0);
  return {
    ...image,
    sizeBytes: field('size', (decoder) => decoder.signed(), 0),
    order: field('order', (decoder) => decoder.byte(), 0),
    features: featureNames(field('features', (decoder) => decoder.wide(), 0n)),
    opFeatures: operationNames(field('op_features', (decoder) => decoder.wide(), 0n)),
    flags: flagNames(field('flags', (decoder) => decoder.wide(), 0n)),
    parent: field('parent', toParent, undefined),
    snapshots: entries.filter(([key]) => key.startsWith(SNAPSHOT_KEY)).map(([, value]) => toSnapshot(new CephDecoder(value))),
    createdAtMs: timeMs('create_timestamp'),
    accessedAtMs: timeMs('access_timestamp'),
    modifiedAtMs: timeMs('modify_timestamp'),
  };
}

/** cls_rbd_parent: version 2 came with Nautilus, and with it the namespace. A parent that was let go has no pool. */
function toParent(decoder: CephDecoder): RbdImageListing['parent'] {
  const { version } = decoder.head();
  const poolId = decoder.signed();
  const namespace = version >= 2 ? decoder.text() : '';
  const imageId = decoder.text();
  return poolId < 0 ? undefined : { poolId, namespace, imageId, snapshotId: decoder.signed() };
}

/** Of a snapshot that is protected (RBD_PROTECTION_STATUS_PROTECTED of cls_rbd_types.h). */
const PROTECTED = 2;
/** RBD_SNAP_NAMESPACE_TYPE_USER of librbd.h. */
const OF_USER = 0;
/** Since Nautilus; what older programs are to read as well has two more fields, which nobody uses. */
const SHORT_FORM = 8;

/** cls_rbd_snap of cls_rbd.h, version 6 and later: all that Ceph has written since Mimic. */
function toSnapshot(decoder: CephDecoder): RbdImageListing['snapshots'][number] {
  const { compatible } = decoder.head();
  const id = decoder.signed();
  const [name, sizeBytes] = [decoder.text(), decoder.signed()];
  if (compatible < SHORT_FORM) {
    decoder.wide();
    decoder.structure();
  }
  const isProtected = decoder.byte() === PROTECTED;
  decoder.wide();
  const isOfUser = decoder.structure().int() === OF_USER;
  return { id, name, sizeBytes, isProtected, createdAtMs: decoder.timeMs(), isOfUser };
}
