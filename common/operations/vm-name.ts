import { AppError, isAppError } from '../errors.ts';
import type { VmId, VmName } from '../ids.ts';
import type { OperationContext } from './context.ts';
import { createUnmirrored, readResource, removeResource, tryWrite } from './update-resource.ts';

/** Rounds about one name; in each lost one somebody else has won. */
const ROUNDS_MAX = 20;

type Context = Pick<OperationContext, 'store'>;

/**
 * Makes the name's entry point at the VM, before the VM has the name.
 * @throws AppError 'exists' when a VM has the name.
 */
export async function claimName(context: Pick<OperationContext, 'store' | 'mirror'>, name: VmName, uuid: VmId): Promise<void> {
  if (context.mirror.find('vm', name).length > 0) throw nameTaken(name);
  await takeEntry(context, name, uuid);
}

/**
 * Makes the name's entry point at the VM, whether the VM has the name already or not. An entry whose VM never came, or has another name
 * now, is taken over, by a write that is conditional on the entry as it was before its VM was looked for: `confirmName` changes it when
 * the VM has come.
 * @throws AppError 'exists' when the VM that the entry points at has the name.
 */
export async function takeEntry(context: Context, name: VmName, uuid: VmId): Promise<void> {
  for (let round = 0; round < ROUNDS_MAX; round += 1) {
    const entry = await readResource(context, 'vm-name', name);
    if (entry === undefined) {
      if (await created(context, name, uuid)) return;
      continue;
    }
    const holder = await readResource(context, 'vm', entry.doc.uuid);
    if (holder?.doc.name === name) throw nameTaken(name);
    if ((await tryWrite(context, { kind: 'vm-name', id: name }, entry, { uuid })) !== undefined) return;
  }
  throw new AppError('conflict', 'too many writers want this name at once', { name });
}

async function created(context: Context, name: VmName, uuid: VmId): Promise<boolean> {
  try {
    await createUnmirrored(context, { kind: 'vm-name', id: name }, { uuid });
    return true;
  } catch (error) {
    if (!isAppError(error, 'exists')) throw error;
    return false;
  }
}

/**
 * Settles who has the name, once the VM has it. From then on nobody takes it over: the write makes every attempt that did
 * not see the VM fail.
 * @returns false when somebody else was faster; the caller takes the VM's name back.
 */
export async function confirmName(context: Context, name: VmName, uuid: VmId): Promise<boolean> {
  for (let round = 0; round < ROUNDS_MAX; round += 1) {
    const entry = await readResource(context, 'vm-name', name);
    if (entry?.doc.uuid !== uuid) return false;
    if ((await tryWrite(context, { kind: 'vm-name', id: name }, entry, { uuid })) !== undefined) return true;
  }
  throw new AppError('conflict', 'too many writers want this name at once', { name });
}

/** Gives up a claim that came to nothing, unless the VM has the name by another call. */
export async function abandonName(context: Context, name: VmName, uuid: VmId): Promise<void> {
  const vm = await readResource(context, 'vm', uuid);
  if (vm?.doc.name !== name) await releaseName(context, name, uuid);
}

/** Frees the name if it is the VM's; one that was taken over meanwhile is not. */
export async function releaseName(context: Context, name: VmName, uuid: VmId): Promise<void> {
  const entry = await readResource(context, 'vm-name', name);
  if (entry?.doc.uuid !== uuid) return;
  try {
    await removeResource(context, { kind: 'vm-name', id: name }, entry.version);
  } catch (error) {
    if (!isAppError(error, 'conflict')) throw error;
  }
}

export function nameTaken(name: VmName): AppError {
  return new AppError('exists', 'a VM with this name exists', { name });
}
