import { occupancyOf, wantsToRun, type PlacementVm } from '../domain/placement.ts';
import { AppError, isAppError } from '../errors.ts';
import type { Versioned } from '../schema/resources.ts';
import type { VmSpec } from '../schema/vm.ts';
import type { OperationContext } from './context.ts';
import { readResource } from './update-resource.ts';

/**
 * Two processes may give the last room of a node away at once, each by a mirror that lacks the other's write. So whoever has placed
 * a VM looks again once its mirror has every earlier write: of two, the later one sees the earlier one and has to step back.
 * @param placed the document as it was written.
 * @throws AppError 'no-resource' when what was decided before leaves no room; `stepBack` has been carried out then.
 */
export async function confirmPlace(context: OperationContext, placed: Versioned<VmSpec>, stepBack: () => Promise<void>): Promise<void> {
  if (!wantsToRun(placed.doc) || !(await catchUp(context, placed.id)) || hasRoom(context, placed)) return;
  await stepBack();
  throw new AppError('no-resource', 'the room on the node was given away at the same time', { vm: placed.doc.name, node: placed.doc.node });
}

/**
 * After a sync every watch has told of what was written before, and the mirror has asked for it; answers of one session come in order
 * (ZooKeeper Programmer's Guide, "Consistency Guarantees"), so one more read ends after those.
 * @returns false when the store cannot say; the write stands.
 */
async function catchUp(context: OperationContext, uuid: string): Promise<boolean> {
  try {
    await context.store.sync();
    await readResource(context, 'vm', uuid);
    return true;
  } catch (error) {
    if (isAppError(error, 'unavailable', 'timeout', 'unknown-outcome')) return false;
    throw error;
  }
}

function hasRoom({ mirror, placement }: OperationContext, placed: Versioned<VmSpec>): boolean {
  const { node } = placed.doc;
  const totalMib = mirror.get('node-status', node)?.doc.statistics.memoryTotalMib;
  if (totalMib === undefined) return true;
  const statuses = mirror.all('vm-status');
  const earlier = function* (): Generator<PlacementVm> {
    for (const { doc, modifiedZxid } of mirror.all('vm').values()) {
      const status = statuses.get(doc.uuid)?.doc;
      const arrives = status?.owner === node || (status?.phase.kind === 'migrating' && status.phase.target === node);
      if (doc.uuid !== placed.doc.uuid && (arrives || modifiedZxid < placed.modifiedZxid)) yield { spec: doc, status };
    }
  };
  const heldMib = occupancyOf(earlier()).get(node)?.memoryMib ?? 0;
  return heldMib + placed.doc.memoryMib <= totalMib - placement.reserveMib;
}
