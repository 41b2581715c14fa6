import { z } from 'zod';
import { bytes, cName, cText, nothing, size, type Call } from './call.ts';

/** Where objects are: a pool, a namespace within it, '' for the default one, and the key that places them instead of their names. */
export const objectPlace = z.object({ pool: cName, namespace: cText, locator: cText.optional() });
export type ObjectPlace = z.infer<typeof objectPlace>;

const one = objectPlace.extend({ object: cName });
const named = one.extend({ name: cName });
const withData = one.extend({ data: bytes });
const writeAt = withData.extend({ offsetBytes: size });
const readAt = one.extend({ offsetBytes: size, lengthBytes: size });
const resize = one.extend({ sizeBytes: size });
const setNamed = named.extend({ data: bytes });
const omapRange = one.extend({ after: cText, prefix: cText, entriesMax: z.int().positive() });
const omapWrite = one.extend({ entries: z.array(z.tuple([z.string(), bytes])) });
const omapKeys = one.extend({ keys: z.array(z.string()) });

const objectStat = z.object({ sizeBytes: z.number(), modifiedAtMs: z.number(), version: z.number() });
/** `modifiedAtMs`: wall clock of the OSD, whole seconds, as milliseconds since the epoch. `version` grows with each write in its placement group. */
export type ObjectStat = z.infer<typeof objectStat>;

const entries = z.array(z.tuple([z.string(), bytes]));
const omapPage = z.object({ entries, hasMore: z.boolean() });

const objectName = z.object({ name: z.string(), namespace: z.string(), locator: z.string() });
/** An object of a listing. `locator` is '' unless the object was placed by another key than its name. */
export type ObjectName = z.infer<typeof objectName>;

function onObject<Args, Result>(name: string, effect: 'read' | 'write', args: z.ZodType<Args>, result: z.ZodType<Result>): Call<Args, Result> {
  return { name: `object-${name}`, lane: 'object', effect, args, result };
}

export const objectReadCall = onObject('read', 'read', readAt, bytes);
export const objectWriteFullCall = onObject('write-full', 'write', withData, nothing);
export const objectWriteCall = onObject('write', 'write', writeAt, nothing);
export const objectAppendCall = onObject('append', 'write', withData, nothing);
export const objectRemoveCall = onObject('remove', 'write', one, nothing);
export const objectTruncateCall = onObject('truncate', 'write', resize, nothing);
export const objectStatCall = onObject('stat', 'read', one, objectStat);
export const objectXattrsCall = onObject('xattrs', 'read', one, entries);
export const objectXattrCall = onObject('xattr', 'read', named, bytes);
export const objectSetXattrCall = onObject('set-xattr', 'write', setNamed, nothing);
export const objectRemoveXattrCall = onObject('remove-xattr', 'write', named, nothing);
export const objectOmapCall = onObject('omap', 'read', omapRange, omapPage);
export const objectSetOmapCall = onObject('set-omap', 'write', omapWrite, nothing);
export const objectRemoveOmapCall = onObject('remove-omap', 'write', omapKeys, nothing);

export const listOpenCall: Call<ObjectPlace, number> = { name: 'list-open', lane: 'object', effect: 'read', args: objectPlace, result: z.int(), handle: 'open' };
const listNext = z.object({ objectsMax: z.int().positive() });
/** An empty page is the end. */
export const listNextCall: Call<z.infer<typeof listNext>, ObjectName[]> = {
  name: 'list-next',
  lane: 'object',
  effect: 'read',
  args: listNext,
  result: z.array(objectName),
  handle: 'use',
};
export const listCloseCall: Call<object, undefined> = { name: 'list-close', lane: 'object', effect: 'read', args: z.object({}), result: nothing, handle: 'close' };
