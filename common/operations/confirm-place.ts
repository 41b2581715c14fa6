import { occupancyOf, wantsToRun, type Occupancy, type PlacementVm } from '../domain/placement.ts';
import { AppError, isAppError } from '../errors.ts';
import type { Versioned } from '../schema/resources.ts';
import type { VmSpec } from '../schema/vm.ts';
import type { OperationContext } from './context.ts';

/** Reading what is under way takes a round trip, a reload after a lost connection seconds; after this the write stands unconfirmed. */
const CATCH_UP_LIMIT_MS = 2_000;

/**
 * Two processes may give the last room of a node away at once, each by a mirror that lacks the other's write. So whoever has placed
 * a VM looks again once its mirror has every earlier write: of two, the later one sees the earlier one and has to step back.
 * @param placed the document as it was written.
 * @throws AppError 'no-resource' when what was decided before leaves no room; `stepBack` has been carried out then.
 */
export async function confirmPlace(context: OperationContext, placed: Versioned<VmSpec>, stepBack: () => Promise<void>): Promise<void> {
  if (!wantsToRun(placed.doc) || !(await catchUp(context)) || hasRoom(context, placed)) return;
  await stepBack();
  throw new AppError('no-resource', 'the room on the node was given away at the same time', { vm: placed.doc.name, node: placed.doc.node });
}

/**
 * Waits until the mirror has every write before the one that was just answered. The watches of those have told of them by now: they are
 * "ordered with respect to other events, other watches, and asynchronous replies" (ZooKeeper Programmer's Guide, "What ZooKeeper
 * Guarantees about Watches"), and a server answers a write when it has applied it and all before it. So what is being read is all there is.
 * @returns false when the mirror cannot say; the write stands.
 */
export async function catchUp({ mirror }: Pick<OperationContext, 'mirror'>): Promise<boolean> {
  try {
    await mirror.caughtUp({ timeoutMs: CATCH_UP_LIMIT_MS });
    return true;
  } catch (error) {
    if (isAppError(error, 'timeout', 'cancelled')) return false;
    throw error;
  }
}

function hasRoom(context: OperationContext, placed: Versioned<VmSpec>): boolean {
  const { mirror, occupancy, placement } = context;
  const { node, uuid, memoryMib } = placed.doc;
  const totalMib = mirror.get('node-status', node)?.doc.statistics.memoryTotalMib;
  if (totalMib === undefined) return true;
  const roomMib = totalMib - placement.reserveMib - memoryMib;
  const fits = (held: ReadonlyMap<string, Occupancy>): boolean => (held.get(node)?.memoryMib ?? 0) <= roomMib;
  // What was decided before is part of what is held now.
  return fits(occupancy.without(uuid)) || fits(occupancyOf(decidedBefore(context, placed)));
}

/** The VMs that were placed before, or are at the node by now. Looks at every VM. */
function* decidedBefore({ mirror }: OperationContext, placed: Versioned<VmSpec>): Generator<PlacementVm> {
  const { node, uuid } = placed.doc;
  for (const { doc, modifiedZxid } of mirror.all('vm').values()) {
    const status = mirror.get('vm-status', doc.uuid)?.doc;
    const arrives = status?.owner === node || (status?.phase.kind === 'migrating' && status.phase.target === node);
    if (doc.uuid !== uuid && (arrives || modifiedZxid < placed.modifiedZxid)) yield { spec: doc, status };
  }
}
