import { isDeepStrictEqual } from 'node:util';
import { AppError, isAppError } from '../errors.ts';
import { pathOf, RESOURCES, type Doc, type Kind, type MirroredKind, type Versioned } from '../schema/resources.ts';
import type { Entry } from '../store/store.ts';
import type { ClusterMirror, OperationContext } from './context.ts';

/** Rounds of read, change and conditional write. More than this many writers at once on one document do not happen. */
const TRIES_MAX = 20;

/** The mirror holds a write within milliseconds; after this the write stands and the caller goes on without it. */
const MIRROR_WAIT_MS = 2_000;

type Context = Pick<OperationContext, 'store' | 'mirror'>;

/**
 * Changes one document by a write that is conditional on what `change` saw, as often as it takes.
 * `change` is pure; returning the document it was given means there is nothing to write.
 * Resolves when the mirror holds the write.
 * @throws AppError 'not-found' when the document does not exist, 'conflict' after too many rounds, and whatever `change` throws.
 */
export async function updateResource<K extends MirroredKind>(
  context: Context,
  target: { kind: K; id: string },
  change: (doc: Doc<K>) => Doc<K>,
): Promise<Versioned<Doc<K>>> {
  let current = context.mirror.get(target.kind, target.id) ?? (await readResource(context, target.kind, target.id));
  for (let round = 0; round < TRIES_MAX; round += 1) {
    if (current === undefined) throw new AppError('not-found', 'no such document', target);
    const next = change(current.doc);
    if (next === current.doc) return current;
    const written = await tryWrite(context, target, current, next);
    if (written !== undefined) {
      await mirrored(context.mirror, target, written.version);
      return written;
    }
    current = await readResource(context, target.kind, target.id);
  }
  throw new AppError('conflict', 'too many writers change this document at once', target);
}

/**
 * The written document, or undefined when somebody else was first and the caller has to look again.
 * @throws AppError 'invalid' when the document does not satisfy its schema: nobody could read it.
 */
export async function tryWrite<K extends Kind>(
  context: Pick<Context, 'store'>,
  { kind, id }: { kind: K; id: string },
  current: Versioned<Doc<K>>,
  next: Doc<K>,
): Promise<Versioned<Doc<K>> | undefined> {
  checkDocument(kind, next);
  try {
    const entry = await context.store.update(pathOf(kind, id), next, current.version);
    return { ...current, doc: next, version: entry.version, modifiedZxid: entry.modifiedZxid };
  } catch (error) {
    if (isAppError(error, 'conflict', 'not-found')) return undefined;
    if (!isAppError(error, 'unknown-outcome')) throw error;
    const seen = await readAfterLoss(context, { kind, id }, error);
    return seen !== undefined && seen.version > current.version && isDeepStrictEqual(seen.doc, next) ? seen : undefined;
  }
}

/** As long as nobody can look, the outcome stays unknown: 'unavailable' would say that nothing was done. */
async function readAfterLoss<K extends Kind>(context: Pick<Context, 'store'>, { kind, id }: { kind: K; id: string }, loss: AppError): Promise<Versioned<Doc<K>> | undefined> {
  try {
    return await readResource(context, kind, id);
  } catch (error) {
    throw isAppError(error, 'unavailable', 'timeout') ? loss : error;
  }
}

/**
 * Creates one document and waits until the mirror holds it.
 * @throws AppError 'exists' when there is one already that is not this very document.
 */
export async function createResource<K extends MirroredKind>(context: Context, target: { kind: K; id: string }, doc: Doc<K>): Promise<void> {
  const version = await createUnmirrored(context, target, doc);
  await mirrored(context.mirror, target, version);
}

/**
 * Creates one document, of any kind, without a look at the mirror.
 * @returns its version.
 * @throws AppError 'exists' when there is one already that is not this very document.
 */
export async function createUnmirrored<K extends Kind>(context: Pick<Context, 'store'>, { kind, id }: { kind: K; id: string }, doc: Doc<K>): Promise<number> {
  checkDocument(kind, doc);
  for (let round = 0; round < TRIES_MAX; round += 1) {
    try {
      return (await context.store.create(pathOf(kind, id), doc)).version;
    } catch (error) {
      if (!isAppError(error, 'unknown-outcome')) throw error;
      const seen = await readAfterLoss(context, { kind, id }, error);
      if (seen !== undefined && isDeepStrictEqual(seen.doc, doc)) return seen.version;
      if (seen !== undefined) throw new AppError('exists', 'the document exists already', { kind, id });
    }
  }
  throw new AppError('unknown-outcome', 'the answer was lost again and again', { kind, id });
}

/**
 * Removes one document if it still has this version. Gone already is fine.
 * @throws AppError 'conflict' when it has changed.
 */
export async function removeResource(context: Pick<Context, 'store'>, target: { kind: Kind; id: string }, version: number): Promise<void> {
  const path = pathOf(target.kind, target.id);
  for (let round = 0; round < TRIES_MAX; round += 1) {
    try {
      await context.store.remove(path, version);
      return;
    } catch (error) {
      if (isAppError(error, 'not-found')) return;
      if (!isAppError(error, 'unknown-outcome')) throw error;
    }
  }
  throw new AppError('unknown-outcome', 'the answer was lost again and again', target);
}

/**
 * Refuses a document that its readers would keep out.
 * @throws AppError 'invalid' with what is wrong, by field.
 */
export function checkDocument<K extends Kind>(kind: K, doc: Doc<K>): void {
  const result = RESOURCES[kind].schema.safeParse(doc);
  if (result.success) return;
  const faults = result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
  throw new AppError('invalid', 'the change would leave a document that is not valid', { kind, faults });
}

/** The document as the store has it now, past the mirror. */
export async function readResource<K extends Kind>(context: Pick<Context, 'store'>, kind: K, id: string): Promise<Versioned<Doc<K>> | undefined> {
  const entry = await context.store.read(pathOf(kind, id));
  return entry === undefined ? undefined : toVersioned(kind, id, entry);
}

/** @throws AppError 'component' when the stored value is not a document of this kind. */
function toVersioned<K extends Kind>(kind: K, id: string, entry: Entry): Versioned<Doc<K>> {
  const parsed = parseDocument(kind, entry.value);
  return { id, doc: parsed, version: entry.version, createdZxid: entry.createdZxid, modifiedZxid: entry.modifiedZxid };
}

function parseDocument<K extends Kind>(kind: K, value: unknown): Doc<K> {
  const result = RESOURCES[kind].schema.safeParse(value);
  if (!result.success) throw new AppError('component', 'the stored document is not valid', { kind, faults: result.error.issues.map((issue) => issue.message) });
  return narrow<K>(result.data);
}

/** The table's own schema has parsed it; TypeScript cannot follow an indexed access through a type parameter. */
function narrow<K extends Kind>(data: Doc<Kind>): Doc<K> {
  // eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- see above; the only one of its kind
  return data as Doc<K>;
}

/** A mirror that lags (its session is suspended) does not undo a write that was acknowledged. */
async function mirrored(mirror: ClusterMirror, target: { kind: MirroredKind; id: string }, version: number): Promise<void> {
  try {
    await mirror.waitFor(target.kind, target.id, version, { timeoutMs: MIRROR_WAIT_MS });
  } catch (error) {
    if (!isAppError(error, 'timeout', 'cancelled')) throw error;
  }
}
