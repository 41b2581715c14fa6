import { z } from 'zod';
import { AppError } from '../../common/errors.ts';
import { nodeName } from '../../common/ids.ts';
import { readResource } from '../../common/operations/update-resource.ts';
import type { VmMeta } from '../../common/operations/vm.ts';
import { migrationMethod, selector, tag, TAGS_MAX } from '../../common/schema/vm.ts';
import { vmConsoleView, vmMetaView, vmTagsView } from '../../common/view/vm.ts';
import { clearableList, clearableText, flag, freeText, optionalFlag, optionalInteger, text } from '../params/values.ts';
import { presentTags, presentVmRules } from '../present/vm.ts';
import { done, messageReply, ok, route, type Route } from '../route.ts';
import { NAME_MAX_CHARS, vmOf, VM_VALUES, type VmRouteDeps } from './vm-values.ts';

/** What a VM is beside its definition, its power and its place; and its console. */
export function vmMetaRoutes(deps: VmRouteDeps): Route[] {
  return [...metaRoutes(deps), ...tagRoutes(deps), renameRoute(deps), ...outputRoutes(deps), locksRoute(deps)];
}

function metaRoutes(deps: VmRouteDeps): Route[] {
  return [
    route({
      method: 'GET',
      path: '/vm/:vm/meta',
      summary: "Show a VM's rules",
      values: z.object({ vm: VM_VALUES.vm }),
      reply: { code: 200, schema: vmMetaView },
      handle: (values) => {
        const { doc } = vmOf(deps, values.vm);
        return ok({ name: doc.name, ...presentVmRules(doc) });
      },
    }),
    route({
      method: 'POST',
      path: '/vm/:vm/meta',
      summary: "Change a VM's rules",
      description: 'What is not given stays as it is; empty text or "none" clears.',
      values: z.object({
        vm: VM_VALUES.vm,
        limit: clearableList(nodeName, 'Nodes that it may run on.'),
        selector: clearableText(selector, 'How a node is chosen for it.'),
        autostart: optionalFlag('Start it once when its node becomes ready.'),
        profile: clearableText(freeText(NAME_MAX_CHARS), 'Name of its profile.'),
        migration_method: clearableText(migrationMethod, 'How it gets to another node: live, shutdown or any.'),
        migration_max_downtime: optionalInteger({ min: 1, max: 60_000 }, 'Longest pause of a live migration, in milliseconds.'),
        on_flush_blocked: clearableText(z.enum(['block', 'shutdown']), 'What a flush does when no node has room for it: block (the default) or shutdown.'),
      }),
      valueAliases: { node_limit: 'limit', node_selector: 'selector', node_autostart: 'autostart' },
      reply: { code: 200, schema: messageReply },
      handle: async (values) => {
        const patch = patchOf(values);
        for (const name of patch.nodeLimit ?? []) if (deps.mirror.get('node', name) === undefined) throw new AppError('invalid', 'no node has this name', { limit: name });
        const spec = await deps.vms.setMeta(vmOf(deps, values.vm).uuid, patch);
        return done(`VM ${spec.name} has the new rules`);
      },
    }),
  ];
}

interface MetaValues {
  limit?: VmMeta['nodeLimit'] | undefined;
  selector?: VmMeta['selector'] | undefined;
  autostart?: boolean | undefined;
  profile?: string | null | undefined;
  migration_method?: VmMeta['migrationMethod'] | undefined;
  migration_max_downtime?: number | undefined;
  on_flush_blocked?: VmMeta['onFlushBlocked'] | null | undefined;
}

/** @throws AppError 'invalid' when nothing is to be changed. */
function patchOf(values: MetaValues): VmMeta {
  const patch: VmMeta = {
    ...(values.limit === undefined ? {} : { nodeLimit: values.limit }),
    ...(values.selector === undefined ? {} : { selector: values.selector }),
    ...(values.autostart === undefined ? {} : { autostart: values.autostart }),
    ...(values.profile === undefined ? {} : { profile: values.profile }),
    ...(values.migration_method === undefined ? {} : { migrationMethod: values.migration_method }),
    ...(values.migration_max_downtime === undefined ? {} : { migrationMaxDowntimeMs: values.migration_max_downtime }),
    ...(values.on_flush_blocked === undefined ? {} : { onFlushBlocked: values.on_flush_blocked ?? 'block' }),
  };
  if (Object.keys(patch).length === 0) throw new AppError('invalid', 'nothing to change is given');
  return patch;
}

function tagRoutes(deps: VmRouteDeps): Route[] {
  return [
    route({
      method: 'GET',
      path: '/vm/:vm/tags',
      summary: "Show a VM's tags",
      values: z.object({ vm: VM_VALUES.vm }),
      reply: { code: 200, schema: vmTagsView },
      handle: (values) => {
        const { doc } = vmOf(deps, values.vm);
        return ok({ name: doc.name, tags: presentTags(doc) });
      },
    }),
    route({
      method: 'POST',
      path: '/vm/:vm/tags',
      summary: 'Add or remove a tag',
      values: z.object({
        vm: VM_VALUES.vm,
        action: text(z.enum(['add', 'remove']), 'What to do.'),
        tag: text(tag.shape.name, 'The tag.'),
        protected: flag('With add: it cannot be removed.'),
      }),
      reply: { code: 200, schema: messageReply },
      handle: async (values) => {
        const { uuid, doc } = vmOf(deps, values.vm);
        if (values.action === 'remove') await deps.vms.removeTag(uuid, values.tag);
        else if (doc.tags.length >= TAGS_MAX) throw new AppError('state', 'the VM has as many tags as it can have', { max: TAGS_MAX });
        else await deps.vms.addTag(uuid, { name: values.tag, protected: values.protected });
        return done(`tag ${values.tag} is ${values.action === 'add' ? 'added to' : 'removed from'} VM ${doc.name}`);
      },
    }),
  ];
}

function renameRoute(deps: VmRouteDeps): Route {
  return route({
    method: 'POST',
    path: '/vm/:vm/rename',
    summary: 'Rename a VM that is off',
    values: z.object({ vm: VM_VALUES.vm, new_name: text(freeText(NAME_MAX_CHARS), 'The new name.') }),
    valueAliases: { 'new-name': 'new_name' },
    reply: { code: 200, schema: messageReply },
    handle: async (values) => {
      const { uuid, doc } = vmOf(deps, values.vm);
      const spec = await deps.vms.rename(uuid, values.new_name);
      return done(`VM ${doc.name} is now ${spec.name}`);
    },
  });
}

/** What a node keeps of a console, at most. */
const CONSOLE_LINES_MAX = 5_000;
const CONSOLE_LINES_DEFAULT = 10;

function outputRoutes(deps: VmRouteDeps): Route[] {
  return [
    route({
      method: 'GET',
      path: '/vm/:vm/console',
      summary: "Show the end of a VM's serial console",
      values: z.object({
        vm: VM_VALUES.vm,
        lines: optionalInteger({ min: 1, max: CONSOLE_LINES_MAX }, `How many of the last lines; ${CONSOLE_LINES_DEFAULT} when missing.`),
      }),
      reply: { code: 200, schema: vmConsoleView },
      handle: async (values) => {
        const { doc } = vmOf(deps, values.vm);
        const kept = await readResource(deps, 'vm-console', doc.uuid);
        const lines = kept?.doc.lines.slice(-(values.lines ?? CONSOLE_LINES_DEFAULT)) ?? [];
        return ok({ name: doc.name, data: lines.join('\n') });
      },
    }),
    route({
      method: 'GET',
      path: '/vm/:vm/dump',
      summary: "Show a VM's definition",
      values: z.object({ vm: VM_VALUES.vm }),
      reply: { code: 200, type: 'application/xml', schema: z.string() },
      handle: (values) => ({ kind: 'text', code: 200, type: 'application/xml', body: vmOf(deps, values.vm).doc.xml }),
    }),
  ];
}

function locksRoute(deps: VmRouteDeps): Route {
  return route({
    method: 'POST',
    path: '/vm/:vm/locks',
    summary: "Free the locks that dead clients have left on a VM's volumes",
    values: z.object({ vm: VM_VALUES.vm }),
    reply: { code: 200, schema: messageReply },
    handle: async (values) => {
      const { doc } = vmOf(deps, values.vm);
      const freed = await deps.disks.freeLocks(doc);
      return done(freed === 0 ? `The volumes of VM ${doc.name} have no locks` : `Locks of VM ${doc.name} that are freed: ${freed}`);
    },
  });
}
