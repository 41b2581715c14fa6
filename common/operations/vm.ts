import { AppError } from '../errors.ts';
import type { NodeName, VmId } from '../ids.ts';
import type { PowerRequest, Tag, VmSpec } from '../schema/vm.ts';
import type { VolumeRef } from '../schema/volume.ts';
import type { OperationContext } from './context.ts';
import { updateResource } from './update-resource.ts';
import { defineVm, finishRemoval, modifyVm, removeVm, renameVm, type VmDefinition } from './vm-definition.ts';
import { abortVmMigration, keepVmAt, migrateVm, setVmPower, unmigrateVm, type MigrationOptions } from './vm-power.ts';
import { announceVolumeSize } from './volume-growth.ts';

/** What can be changed of a VM besides its definition, its power and its place. */
export type VmMeta = Partial<Pick<VmSpec, 'nodeLimit' | 'selector' | 'autostart' | 'migrationMethod' | 'migrationMaxDowntimeMs' | 'onFlushBlocked' | 'profile'>>;

/** Every way to change a VM. Each resolves when this process' mirror holds the write. */
export interface VmOperations {
  define(definition: VmDefinition): Promise<VmSpec>;
  modify(uuid: VmId, change: { xml: string; restart: boolean }): Promise<VmSpec>;
  rename(uuid: VmId, newName: string): Promise<VmSpec>;
  remove(uuid: VmId, options: { disks: boolean }): Promise<void>;
  finishRemoval(uuid: VmId): Promise<void>;
  setPower(uuid: VmId, action: PowerRequest['action']): Promise<VmSpec>;
  migrate(uuid: VmId, options: MigrationOptions): Promise<VmSpec>;
  unmigrate(uuid: VmId, options?: Pick<MigrationOptions, 'method'>): Promise<VmSpec>;
  abortMigration(uuid: VmId): Promise<void>;
  keepAt(uuid: VmId, at: { node: NodeName; generation: number }): Promise<void>;
  setMeta(uuid: VmId, patch: VmMeta): Promise<VmSpec>;
  addTag(uuid: VmId, tag: Tag): Promise<VmSpec>;
  removeTag(uuid: VmId, name: string): Promise<VmSpec>;
  announceVolumeSize(ref: VolumeRef, sizeBytes: number): Promise<void>;
}

export function vmOperations(context: OperationContext): VmOperations {
  const change = async (uuid: VmId, next: (spec: VmSpec) => VmSpec): Promise<VmSpec> =>
    (await updateResource(context, { kind: 'vm', id: uuid }, next)).doc;
  return {
    define: (definition) => defineVm(context, definition),
    modify: (uuid, { xml, restart }) => modifyVm(context, uuid, { xml, restart }),
    rename: (uuid, newName) => renameVm(context, uuid, newName),
    remove: (uuid, options) => removeVm(context, uuid, options),
    finishRemoval: (uuid) => finishRemoval(context, uuid),
    setPower: (uuid, action) => setVmPower(context, uuid, action),
    migrate: (uuid, options) => migrateVm(context, uuid, options),
    unmigrate: (uuid, options) => unmigrateVm(context, uuid, options),
    abortMigration: (uuid) => abortVmMigration(context, uuid),
    keepAt: (uuid, at) => keepVmAt(context, uuid, at),
    setMeta: (uuid, patch) => change(uuid, (spec) => ({ ...spec, ...patch })),
    addTag: (uuid, tag) => change(uuid, (spec) => ({ ...spec, tags: [...spec.tags.filter((other) => other.name !== tag.name), tag] })),
    removeTag: (uuid, name) => change(uuid, (spec) => withoutTag(spec, name)),
    announceVolumeSize: (ref, sizeBytes) => announceVolumeSize(context, ref, sizeBytes),
  };
}

function withoutTag(spec: VmSpec, name: string): VmSpec {
  const found = spec.tags.find((tag) => tag.name === name);
  if (found === undefined) throw new AppError('not-found', 'the VM has no such tag', { vm: spec.name, tag: name });
  if (found.protected) throw new AppError('state', 'the tag is protected', { vm: spec.name, tag: name });
  return { ...spec, tags: spec.tags.filter((tag) => tag.name !== name) };
}
