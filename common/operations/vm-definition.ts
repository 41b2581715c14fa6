import { parseDomainXml, withIdentity } from '../domain/domain-xml.ts';
import { isOwned } from '../domain/vm-state.ts';
import { AppError, isAppError } from '../errors.ts';
import { newVmId, vmName, type NodeName, type VmId, type VmName } from '../ids.ts';
import { pathOf } from '../schema/resources.ts';
import { MIGRATION_MAX_DOWNTIME_DEFAULT_MS, type MigrationMethod, type Selector, type Tag, type VmSpec } from '../schema/vm.ts';
import { chooseNode, isAlive } from './choose-node.ts';
import type { OperationContext } from './context.ts';
import { findByName, vmStatusOf } from './find-vm.ts';
import { createResource, readResource, removeResource, updateResource } from './update-resource.ts';

export interface VmDefinition {
  xml: string;
  node?: string | undefined;
  selector?: Selector | undefined;
  nodeLimit?: readonly NodeName[] | undefined;
  autostart?: boolean | undefined;
  migrationMethod?: MigrationMethod | undefined;
  migrationMaxDowntimeMs?: number | undefined;
  profile?: string | undefined;
  tags?: readonly Tag[] | undefined;
}

/**
 * Defines a new VM, off.
 * @throws AppError 'invalid' (the XML), 'exists' (name or UUID), 'no-resource' (no node can take it).
 */
export async function defineVm(context: OperationContext, definition: VmDefinition): Promise<VmSpec> {
  const spec = newSpec(context, definition);
  if (context.mirror.get('vm', spec.uuid) !== undefined) throw new AppError('exists', 'a VM with this UUID exists', { uuid: spec.uuid });
  await claimName(context, spec.name, spec.uuid);
  try {
    await createResource(context, { kind: 'vm', id: spec.uuid }, spec);
  } catch (error) {
    if (!isAppError(error, 'unknown-outcome')) await releaseName(context, spec.name, spec.uuid);
    throw isAppError(error, 'exists') ? new AppError('exists', 'a VM with this UUID exists', { uuid: spec.uuid }) : error;
  }
  await confirmName(context, spec);
  return spec;
}

function newSpec(context: OperationContext, definition: VmDefinition): VmSpec {
  const facts = parseDomainXml(definition.xml);
  const uuid = facts.uuid ?? newVmId();
  const nodeLimit = definition.nodeLimit === undefined ? null : [...definition.nodeLimit];
  const vm = { uuid, memoryMib: facts.memoryMib, nodeLimit, selector: definition.selector ?? null };
  return {
    ...vm,
    name: facts.name,
    xml: facts.uuid === undefined ? withIdentity(definition.xml, { uuid, name: facts.name }) : definition.xml,
    vcpus: facts.vcpus,
    node: chooseNode(context, { vm, wanted: definition.node }),
    homeNode: null,
    placement: { generation: 0, method: 'any', previousHome: null },
    power: { action: 'stop', generation: 0 },
    autostart: definition.autostart ?? false,
    migrationMethod: definition.migrationMethod ?? null,
    migrationMaxDowntimeMs: definition.migrationMaxDowntimeMs ?? MIGRATION_MAX_DOWNTIME_DEFAULT_MS,
    onFlushBlocked: 'block',
    profile: definition.profile ?? null,
    tags: [...(definition.tags ?? [])],
    deletion: null,
  };
}

/**
 * Replaces the definition; name and UUID stay.
 * @throws AppError 'not-found', 'invalid'.
 */
export async function modifyVm(context: OperationContext, uuid: VmId, change: { xml: string; restart: boolean }): Promise<VmSpec> {
  const facts = parseDomainXml(change.xml);
  if (facts.uuid !== undefined && facts.uuid !== uuid) throw new AppError('invalid', 'the UUID of a VM cannot be changed', { uuid, given: facts.uuid });
  const running = isOwned(vmStatusOf(context.mirror, uuid));
  const written = await updateResource(context, { kind: 'vm', id: uuid }, (spec) => {
    if (facts.name !== spec.name) throw new AppError('invalid', 'a definition cannot change the name; rename the VM', { name: spec.name, given: facts.name });
    const xml = facts.uuid === undefined ? withIdentity(change.xml, { uuid, name: spec.name }) : change.xml;
    const power = change.restart && running ? { action: 'restart' as const, generation: spec.power.generation + 1 } : spec.power;
    return { ...spec, xml, memoryMib: facts.memoryMib, vcpus: facts.vcpus, power };
  });
  return written.doc;
}

/**
 * Gives a VM that is off another name, in its definition too.
 * @throws AppError 'not-found', 'invalid', 'exists', 'state' while it runs.
 */
export async function renameVm(context: OperationContext, uuid: VmId, newName: string): Promise<VmSpec> {
  const parsed = vmName.safeParse(newName);
  if (!parsed.success) throw new AppError('invalid', 'the new name is not valid', { name: newName, why: parsed.error.issues[0]?.message });
  const old = context.mirror.get('vm', uuid)?.doc;
  if (old === undefined) throw new AppError('not-found', 'no such VM', { vm: uuid });
  if (isOwned(vmStatusOf(context.mirror, uuid))) throw new AppError('state', 'a VM can be renamed only while it is off', { vm: old.name });
  if (old.name === parsed.data) return old;
  await claimName(context, parsed.data, uuid);
  const written = await updateResource(context, { kind: 'vm', id: uuid }, (spec) => ({
    ...spec,
    name: parsed.data,
    xml: withIdentity(spec.xml, { uuid, name: parsed.data }),
  }));
  if (!(await isNameOf(context, parsed.data, uuid))) {
    await updateResource(context, { kind: 'vm', id: uuid }, (spec) => ({ ...spec, name: old.name, xml: withIdentity(spec.xml, { uuid, name: old.name }) }));
    throw nameTaken(parsed.data);
  }
  await releaseName(context, old.name, uuid);
  return written.doc;
}

/** Longest wait for the owner to stop the guest and forget it; a forced stop takes QEMU a few seconds. */
const REMOVAL_WAIT_MS = 60_000;

/**
 * Stops the VM by force and forgets it; resolves when it is gone.
 * @throws AppError 'not-found', 'state' when the node that runs it cannot be reached, 'timeout'.
 */
export async function removeVm(context: OperationContext, uuid: VmId, options: { disks: boolean }): Promise<void> {
  const owner = vmStatusOf(context.mirror, uuid)?.owner ?? null;
  if (owner !== null && !isAlive(context.mirror, owner)) {
    throw new AppError('state', 'the node that runs the VM cannot be reached, so it cannot be stopped', { node: owner });
  }
  await updateResource(context, { kind: 'vm', id: uuid }, (spec) => (spec.deletion === null ? { ...spec, deletion: { disks: options.disks } } : spec));
  if (!isOwned(vmStatusOf(context.mirror, uuid))) await finishRemoval(context, uuid);
  await context.mirror.waitFor('vm', uuid, 'gone', { timeoutMs: REMOVAL_WAIT_MS });
}

/**
 * Forgets a VM whose removal was asked for and that nobody owns any more. Safe to repeat; does nothing while it is owned.
 * The status goes first: whoever would still take ownership finds its condition gone.
 */
export async function finishRemoval(context: OperationContext, uuid: VmId): Promise<void> {
  const vm = await readResource(context, 'vm', uuid);
  if (vm === undefined || vm.doc.deletion === null) return;
  const status = await readResource(context, 'vm-status', uuid);
  if (status !== undefined && status.doc.owner !== null) return;
  if (status !== undefined) await removeResource(context, { kind: 'vm-status', id: uuid }, status.version);
  const console = await context.store.read(pathOf('vm-console', uuid));
  if (console !== undefined) await removeResource(context, { kind: 'vm-console', id: uuid }, console.version);
  // Whoever sees that the VM is gone may use its name at once.
  await releaseName(context, vm.doc.name, uuid);
  await removeResource(context, { kind: 'vm', id: uuid }, vm.version);
}

/**
 * Makes the name point at the VM, unless a VM has it. An entry whose VM never came is taken over.
 * Of two that claim a name at once, the one that takes over looks again whether the other has got its name meanwhile, and the other
 * looks, once it has its name, whether the entry is still its own: they cannot both go on.
 */
async function claimName(context: OperationContext, name: VmName, uuid: VmId): Promise<void> {
  if (findByName(context.mirror, name) !== undefined) throw nameTaken(name);
  try {
    await createResource(context, { kind: 'vm-name', id: name }, { uuid });
    return;
  } catch (error) {
    if (!isAppError(error, 'exists')) throw error;
  }
  const entry = await readResource(context, 'vm-name', name);
  if (entry === undefined) throw nameTaken(name);
  const other = entry.doc.uuid;
  if (await hasName(context, other, name)) throw nameTaken(name);
  await setNameHolder(context, name, { from: other, to: uuid });
  if (!(await hasName(context, other, name))) return;
  await setNameHolder(context, name, { from: uuid, to: other });
  throw nameTaken(name);
}

async function setNameHolder(context: OperationContext, name: VmName, change: { from: VmId; to: VmId }): Promise<void> {
  await updateResource(context, { kind: 'vm-name', id: name }, (current) => {
    if (current.uuid !== change.from) throw nameTaken(name);
    return { uuid: change.to };
  });
}

async function hasName(context: OperationContext, uuid: VmId, name: VmName): Promise<boolean> {
  await context.store.sync();
  return (await readResource(context, 'vm', uuid))?.doc.name === name;
}

async function isNameOf(context: OperationContext, name: VmName, uuid: VmId): Promise<boolean> {
  await context.store.sync();
  return (await readResource(context, 'vm-name', name))?.doc.uuid === uuid;
}

/** Two definitions of one name at once: the name's entry decides, the other one steps back. */
async function confirmName(context: OperationContext, spec: VmSpec): Promise<void> {
  if (await isNameOf(context, spec.name, spec.uuid)) return;
  await context.store.remove(pathOf('vm', spec.uuid), 0);
  throw nameTaken(spec.name);
}

async function releaseName(context: OperationContext, name: VmName, uuid: VmId): Promise<void> {
  const entry = await readResource(context, 'vm-name', name);
  if (entry?.doc.uuid === uuid) await removeResource(context, { kind: 'vm-name', id: name }, entry.version);
}

function nameTaken(name: VmName): AppError {
  return new AppError('exists', 'a VM with this name exists', { name });
}
