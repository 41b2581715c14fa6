import { parseDomainXml, withIdentity } from '../domain/domain-xml.ts';
import { isOwned } from '../domain/vm-state.ts';
import { AppError, isAppError } from '../errors.ts';
import { newVmId, vmName, type NodeName, type VmId, type VmName } from '../ids.ts';
import { pathOf } from '../schema/resources.ts';
import { MIGRATION_MAX_DOWNTIME_DEFAULT_MS, type MigrationMethod, type Selector, type Tag, type VmSpec } from '../schema/vm.ts';
import { chooseNode, isAlive } from './choose-node.ts';
import type { OperationContext } from './context.ts';
import { vmStatusOf } from './find-vm.ts';
import { checkDocument, createResource, readResource, removeResource, updateResource } from './update-resource.ts';
import { confirmInterfaces, withInterfaces } from './vm-interfaces.ts';
import { abandonName, claimName, confirmName, nameTaken, releaseName } from './vm-name.ts';

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
  checkDocument('vm', spec);
  if (context.mirror.get('vm', spec.uuid) !== undefined) throw new AppError('exists', 'a VM with this UUID exists', { uuid: spec.uuid });
  await claimName(context, spec.name, spec.uuid);
  try {
    await createResource(context, { kind: 'vm', id: spec.uuid }, spec);
  } catch (error) {
    // After any other failure the entry stays: the VM may have come all the same, and if not, the name is taken over.
    if (!isAppError(error, 'exists')) throw error;
    await abandonName(context, spec.name, spec.uuid);
    throw new AppError('exists', 'a VM with this UUID exists', { uuid: spec.uuid });
  }
  if (!(await confirmName(context, spec.name, spec.uuid))) {
    await takeBack(context, spec.uuid);
    throw nameTaken(spec.name);
  }
  await confirmInterfaces(context, { spec, isNew: true }, async () => {
    await releaseName(context, spec.name, spec.uuid);
    await takeBack(context, spec.uuid);
  });
  return spec;
}

async function takeBack(context: OperationContext, uuid: VmId): Promise<void> {
  const vm = await readResource(context, 'vm', uuid);
  if (vm !== undefined) await removeResource(context, { kind: 'vm', id: uuid }, vm.version);
}

function newSpec(context: OperationContext, definition: VmDefinition): VmSpec {
  const facts = parseDomainXml(definition.xml);
  const uuid = facts.uuid ?? newVmId();
  const nodeLimit = definition.nodeLimit === undefined ? null : [...definition.nodeLimit];
  const vm = { uuid, memoryMib: facts.memoryMib, nodeLimit, selector: definition.selector ?? null };
  const xml = facts.uuid === undefined ? withIdentity(definition.xml, { uuid, name: facts.name }) : definition.xml;
  return {
    ...vm,
    name: facts.name,
    ...withInterfaces(context.mirror, { uuid, xml, facts }),
    vcpus: facts.vcpus,
    node: chooseNode(context, { vm, wanted: definition.node }),
    homeNode: null,
    placement: { generation: 0, method: 'any', previousHome: null },
    power: { action: 'stop', generation: 0 },
    growth: { sizes: {}, generation: 0 },
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
  let previous: VmSpec | undefined;
  const written = await updateResource(context, { kind: 'vm', id: uuid }, (spec) => {
    previous = spec;
    if (facts.name !== spec.name) throw new AppError('invalid', 'a definition cannot change the name; rename the VM', { name: spec.name, given: facts.name });
    const identified = facts.uuid === undefined ? withIdentity(change.xml, { uuid, name: spec.name }) : change.xml;
    const { xml, interfaces } = withInterfaces(context.mirror, { uuid, xml: identified, facts, previousXml: spec.xml });
    const power = change.restart && running ? { action: 'restart' as const, generation: spec.power.generation + 1 } : spec.power;
    return { ...spec, xml, memoryMib: facts.memoryMib, vcpus: facts.vcpus, interfaces, power };
  });
  const before = previous;
  await confirmInterfaces(context, { spec: written.doc, isNew: false }, async () => {
    await updateResource(context, { kind: 'vm', id: uuid }, (spec) => (before === undefined || spec.xml !== written.doc.xml ? spec : { ...spec, xml: before.xml, memoryMib: before.memoryMib, vcpus: before.vcpus, interfaces: before.interfaces }));
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
  return takeName(context, uuid, parsed.data);
}

/** The name is claimed: the VM takes it, or the claim is given up. */
async function takeName(context: OperationContext, uuid: VmId, name: VmName): Promise<VmSpec> {
  let previous = name;
  const rename = (to: VmName) => (spec: VmSpec): VmSpec => {
    if (spec.name === to) return spec;
    if (to === name) previous = spec.name;
    return { ...spec, name: to, xml: withIdentity(spec.xml, { uuid, name: to }) };
  };
  try {
    const written = await updateResource(context, { kind: 'vm', id: uuid }, rename(name));
    if (await confirmName(context, name, uuid)) {
      if (previous !== name) await releaseName(context, previous, uuid);
      return written.doc;
    }
  } catch (error) {
    if (isAppError(error, 'not-found', 'invalid')) await abandonName(context, name, uuid);
    throw error;
  }
  await updateResource(context, { kind: 'vm', id: uuid }, rename(previous));
  throw nameTaken(name);
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
  if (!isOwned(vmStatusOf(context.mirror, uuid))) await finishUnlessTaken(context, uuid);
  await context.mirror.waitFor('vm', uuid, 'gone', { timeoutMs: REMOVAL_WAIT_MS });
}

/** A node that took ownership at the same moment sees the request and finishes it. */
async function finishUnlessTaken(context: OperationContext, uuid: VmId): Promise<void> {
  try {
    await finishRemoval(context, uuid);
  } catch (error) {
    if (!isAppError(error, 'conflict')) throw error;
  }
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
