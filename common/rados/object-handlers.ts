import { withIoctx, withRoom, handle, type Context, type Handler } from './handler.ts';
import { Cells, pointersTo } from './memory.ts';
import { NULL, steadyBytes, type Pointer } from './native-library.ts';
import {
  listCloseCall,
  listNextCall,
  listOpenCall,
  objectAppendCall,
  objectOmapCall,
  objectReadCall,
  objectRemoveCall,
  objectRemoveOmapCall,
  objectRemoveXattrCall,
  objectSetOmapCall,
  objectSetXattrCall,
  objectStatCall,
  objectTruncateCall,
  objectWriteCall,
  objectWriteFullCall,
  objectXattrCall,
  objectXattrsCall,
  type ObjectName,
} from './object-calls.ts';

/** errno at the end of a listing. */
const ENOENT = -2;
const FIRST_XATTR_BYTES = 4_096;

/** Calls that concern objects. */
export const objectHandlers: readonly Handler[] = [
  handle(objectReadCall, (context, args) => {
    const data = steadyBytes(args.lengthBytes);
    return withIoctx(context, args, (ioctx) => data.subarray(0, context.check(context.rados.read(ioctx, args.object, data, args.lengthBytes, args.offsetBytes))));
  }),
  handle(objectWriteFullCall, (context, args) =>
    withIoctx(context, args, (ioctx) => void context.check(context.rados.writeFull(ioctx, args.object, args.data, args.data.byteLength))),
  ),
  handle(objectWriteCall, (context, args) =>
    withIoctx(context, args, (ioctx) => void context.check(context.rados.write(ioctx, args.object, args.data, args.data.byteLength, args.offsetBytes))),
  ),
  handle(objectAppendCall, (context, args) =>
    withIoctx(context, args, (ioctx) => void context.check(context.rados.append(ioctx, args.object, args.data, args.data.byteLength))),
  ),
  handle(objectRemoveCall, (context, args) => withIoctx(context, args, (ioctx) => void context.check(context.rados.remove(ioctx, args.object)), 'full-try')),
  handle(objectTruncateCall, (context, args) => withIoctx(context, args, (ioctx) => void context.check(context.rados.truncate(ioctx, args.object, args.sizeBytes)))),
  handle(objectStatCall, (context, args) =>
    withIoctx(context, args, (ioctx) => {
      const out = new Cells(2);
      context.check(context.rados.stat(ioctx, args.object, out.at(0), out.at(1)));
      return { sizeBytes: out.number(0), modifiedAtMs: out.signed(1) * 1000, version: Number(context.rados.lastVersion(ioctx)) };
    }),
  ),
  handle(objectXattrsCall, (context, args) => withIoctx(context, args, (ioctx) => xattrs(context, ioctx, args.object))),
  handle(objectXattrCall, (context, args) =>
    withIoctx(context, args, (ioctx) =>
      withRoom(
        context,
        FIRST_XATTR_BYTES,
        (room) => context.rados.getXattr(ioctx, args.object, args.name, room, room.byteLength),
        (room, length) => room.subarray(0, length),
      ),
    ),
  ),
  handle(objectSetXattrCall, (context, args) =>
    withIoctx(context, args, (ioctx) => void context.check(context.rados.setXattr(ioctx, args.object, args.name, args.data, args.data.byteLength))),
  ),
  handle(objectRemoveXattrCall, (context, args) => withIoctx(context, args, (ioctx) => void context.check(context.rados.removeXattr(ioctx, args.object, args.name)))),
  handle(objectOmapCall, (context, args) => withIoctx(context, args, (ioctx) => omapPage(context, ioctx, args.object, args))),
  handle(objectSetOmapCall, (context, args) => {
    const keys = pointersTo(args.entries.map(([key]) => Buffer.from(key)));
    const values = pointersTo(args.entries.map(([, value]) => value));
    return writeOperation(context, args, (operation) =>
      context.rados.writeOmapSet(operation, keys.pointers, values.pointers, keys.lengths, values.lengths, args.entries.length),
    );
  }),
  handle(objectRemoveOmapCall, (context, args) => {
    const keys = pointersTo(args.keys.map((key) => Buffer.from(key)));
    return writeOperation(context, args, (operation) => context.rados.writeOmapRemove(operation, keys.pointers, keys.lengths, args.keys.length));
  }),
  handle(listOpenCall, (context, place) =>
    withIoctx(context, place, (ioctx) => {
      const out = new Cells(1);
      context.check(context.rados.listOpen(ioctx, out.buffer));
      return out.wide(0);
    }),
  ),
  handle(listNextCall, (context, { objectsMax }) => listNext(context, objectsMax)),
  handle(listCloseCall, ({ rados, handle: list }) => rados.listClose(list)),
];

function xattrs(context: Context, ioctx: Pointer, object: string): [string, Buffer][] {
  const { rados, memory } = context;
  const out = new Cells(4);
  context.check(rados.getXattrs(ioctx, object, out.at(0)));
  const found: [string, Buffer][] = [];
  try {
    for (;;) {
      context.check(rados.getXattrsNext(out.wide(0), out.at(1), out.at(2), out.at(3)));
      if (out.wide(1) === NULL) return found;
      found.push([memory.cText(out.wide(1)), memory.bytes(out.wide(2), out.number(3))]);
    }
  } finally {
    rados.getXattrsEnd(out.wide(0));
  }
}

interface OmapRange {
  after: string;
  prefix: string;
  entriesMax: number;
}

/** Entries of an object's omap, and whether there are more. */
export function omapPage(context: Context, ioctx: Pointer, object: string, range: OmapRange): { entries: [string, Buffer][]; hasMore: boolean } {
  const { rados } = context;
  const operation = rados.createReadOperation();
  // Of the iterator, of the flag for more, and of the operation's own result.
  const out = new Cells(3);
  try {
    rados.readOmapValues(operation, range.after, range.prefix, range.entriesMax, out.at(0), out.at(1), out.at(2));
    context.check(rados.readOperate(operation, ioctx, object, 0));
    context.check(out.int(2));
    return { entries: drainOmap(context, out.wide(0)), hasMore: out.buffer[8] !== 0 };
  } finally {
    rados.releaseReadOperation(operation);
  }
}

/** All that the iterator has; it ends with that. */
export function drainOmap({ rados, memory }: Context, iterator: Pointer, out = new Cells(4)): [string, Buffer][] {
  const entries: [string, Buffer][] = [];
  for (;;) {
    rados.omapNext(iterator, out.at(0), out.at(1), out.at(2), out.at(3));
    if (out.wide(0) === NULL) break;
    entries.push([memory.text(out.wide(0), out.number(2)), memory.bytes(out.wide(1), out.number(3))]);
  }
  rados.omapEnd(iterator);
  return entries;
}

function writeOperation(context: Context, place: { pool: string; namespace: string; object: string }, fill: (operation: Pointer) => void): void {
  const { rados } = context;
  withIoctx(context, place, (ioctx) => {
    const operation = rados.createWriteOperation();
    try {
      fill(operation);
      context.check(rados.writeOperate(operation, ioctx, place.object, null, 0));
    } finally {
      rados.releaseWriteOperation(operation);
    }
  });
}

function listNext(context: Context, objectsMax: number): ObjectName[] {
  const { rados, memory } = context;
  const out = new Cells(6);
  const found: ObjectName[] = [];
  while (found.length < objectsMax) {
    const result = rados.listNext(context.handle, out.at(0), out.at(1), out.at(2), out.at(3), out.at(4), out.at(5));
    if (result === ENOENT) break;
    context.check(result);
    const text = (at: number): string => (out.wide(at) === NULL ? '' : memory.text(out.wide(at), out.number(at + 3)));
    found.push({ name: text(0), locator: text(1), namespace: text(2) });
  }
  return found;
}
