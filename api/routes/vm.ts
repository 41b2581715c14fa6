import { z } from 'zod';
import { isOwned, shownNode, shownVmState } from '../../common/domain/vm-state.ts';
import { AppError } from '../../common/errors.ts';
import { nodeName } from '../../common/ids.ts';
import { tag, type Tag, type VmSpec } from '../../common/schema/vm.ts';
import { volumeText, type VolumeRef } from '../../common/schema/volume.ts';
import { vmView } from '../../common/view/vm.ts';
import { fuzzyLimit, type NameMatcher } from '../params/fuzzy.ts';
import { flag, freeText, list, optionalInteger, optionalText, text } from '../params/values.ts';
import { arrayOf } from '../present/vm-cache.ts';
import { done, messageReply, route, type Call, type Route } from '../route.ts';
import { waitForChange } from '../wait.ts';
import { NAME_MAX_CHARS, vmOf, VM_VALUES, type VmRouteDeps } from './vm-values.ts';

/** Longest pause of a live migration that makes sense; the schema's own limit. */
const DOWNTIME_MS = { min: 1, max: 60_000 };

export function vmRoutes(deps: VmRouteDeps): Route[] {
  return [listRoute(deps), defineRoute(deps), ...elementRoutes(deps)];
}

interface Filter {
  limit: NameMatcher | undefined;
  node: string | undefined;
  state: string | undefined;
  tag: string | undefined;
  negate: boolean;
}

/** The words that `state` may be filtered by: all that existing clients know; some of them occur with later issues only. */
const STATE_WORDS = [
  'start', 'restart', 'shutdown', 'stop', 'disable', 'fail', 'migrate', 'unmigrate', 'provision', 'import', 'restore', 'mirror',
] as const;

function listRoute(deps: VmRouteDeps): Route {
  return route({
    method: 'GET',
    path: '/vm',
    summary: 'List the VMs',
    values: z.object({
      limit: optionalText(fuzzyLimitOrUuid(), 'Only VMs whose name matches this regular expression, fuzzily; or a whole UUID.'),
      node: optionalText(freeText(NAME_MAX_CHARS), 'Only VMs on this node.'),
      state: optionalText(z.enum(STATE_WORDS), 'Only VMs in this state.'),
      tag: optionalText(freeText(NAME_MAX_CHARS), 'Only VMs with this tag.'),
      negate: flag('Each filter that is given lets through what it would keep out.'),
    }),
    reply: { code: 200, schema: z.array(vmView) },
    handle: async (values) => {
      if (values.node !== undefined && deps.mirror.get('node', values.node) === undefined) {
        throw new AppError('invalid', 'no node has this name', { node: values.node });
      }
      const matches = matcherOf(deps, values);
      const found = matches === undefined ? deps.cache.sorted() : deps.cache.sorted().filter(({ doc }) => matches(doc));
      return { kind: 'parts', parts: arrayOf(await deps.cache.texts(found)) };
    },
  });
}

type VmMatcher = (spec: VmSpec) => boolean;

/** All filters together; undefined when there is none. */
function matcherOf(deps: VmRouteDeps, filter: Omit<Filter, 'limit'> & { limit: VmMatcher | undefined }): VmMatcher | undefined {
  const statusOf = (spec: VmSpec): Parameters<typeof shownNode>[1] => deps.mirror.get('vm-status', spec.uuid)?.doc;
  const tests: VmMatcher[] = [];
  if (filter.limit !== undefined) tests.push(filter.limit);
  if (filter.node !== undefined) tests.push((spec) => shownNode(spec, statusOf(spec)) === filter.node);
  if (filter.state !== undefined) tests.push((spec) => shownVmState(spec, statusOf(spec)) === filter.state);
  if (filter.tag !== undefined) tests.push((spec) => spec.tags.some((one) => one.name === filter.tag));
  return tests.length === 0 ? undefined : (spec) => tests.every((test) => test(spec) !== filter.negate);
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/iu;

function fuzzyLimitOrUuid(): z.ZodType<VmMatcher, string> {
  const byUuid = z.string().regex(UUID).transform((uuid): VmMatcher => (spec) => spec.uuid === uuid.toLowerCase());
  const byName = fuzzyLimit.transform((matches): VmMatcher => (spec) => matches(spec.name));
  return z.string().transform((given, context): VmMatcher => {
    const result = (UUID.test(given) ? byUuid : byName).safeParse(given);
    if (result.success) return result.data;
    context.addIssue({ code: 'custom', message: result.error.issues[0]?.message ?? 'is not valid' });
    return z.NEVER;
  });
}

function defineRoute(deps: VmRouteDeps): Route {
  const tagName = tag.shape.name;
  return route({
    method: 'POST',
    path: '/vm',
    summary: 'Define a VM',
    description: 'The VM is off afterwards. Its networks must be there already, and its volumes too, unless their sizes are given.',
    values: z.object({
      xml: VM_VALUES.xml,
      create_volumes: VM_VALUES.create_volumes,
      node: VM_VALUES.node,
      selector: VM_VALUES.selector,
      limit: list(nodeName, 'Nodes that it may run on; any when missing.'),
      autostart: flag('Start it once when its node becomes ready.'),
      migration_method: optionalText(migrationMethodWord, 'How it gets to another node: live, shutdown, any (live, else shutdown), none (the default).'),
      migration_max_downtime: optionalInteger(DOWNTIME_MS, 'Longest pause of a live migration, in milliseconds.'),
      profile: optionalText(freeText(NAME_MAX_CHARS), 'Name of the profile it was made with.'),
      user_tags: list(tagName, 'Tags.'),
      protected_tags: list(tagName, 'Tags that cannot be removed.'),
    }),
    valueAliases: { node_limit: 'limit', node_selector: 'selector', node_autostart: 'autostart' },
    reply: { code: 200, schema: messageReply },
    handle: async (values) => {
      const definition = {
        xml: values.xml,
        node: values.node,
        selector: values.selector,
        nodeLimit: values.limit.length === 0 ? undefined : values.limit,
        autostart: values.autostart,
        migrationMethod: values.migration_method,
        migrationMaxDowntimeMs: values.migration_max_downtime,
        profile: values.profile,
        tags: tagsOf(values.user_tags, values.protected_tags),
      };
      return deps.disks.provide(values.xml, values.create_volumes, async (created) => {
        const spec = await deps.vms.define(definition);
        return done(`VM ${spec.name} is defined with UUID ${spec.uuid} on node ${spec.node}${createdText(created)}`);
      });
    },
  });
}

function createdText(created: readonly VolumeRef[]): string {
  return created.length === 0 ? '' : `; created for it: ${created.map(volumeText).join(', ')}`;
}

/** `none` is the existing command line's word for no rule of its own. */
const migrationMethodWord = z.union([z.enum(['live', 'shutdown', 'any']), z.enum(['none', 'None']).transform(() => undefined)]);

function tagsOf(user: readonly string[], guarded: readonly string[]): Tag[] {
  const tags = new Map(user.map((name) => [name, { name, protected: false }]));
  for (const name of guarded) tags.set(name, { name, protected: true });
  return [...tags.values()];
}

function elementRoutes(deps: VmRouteDeps): Route[] {
  return [
    route({
      method: 'GET',
      path: '/vm/:vm',
      summary: 'Show a VM',
      values: z.object({ vm: VM_VALUES.vm }),
      reply: { code: 200, schema: vmView },
      handle: (values) => ({ kind: 'parts', parts: [deps.cache.text(vmOf(deps, values.vm))] }),
    }),
    route({
      method: 'POST',
      path: '/vm/:vm',
      summary: 'Create a VM from a template (not yet)',
      values: z.object({
        vm: VM_VALUES.vm,
        vm_template: text(freeText(NAME_MAX_CHARS), 'Name of the template.'),
        description: optionalText(freeText(), 'Description of the VM.'),
      }),
      reply: { code: 200, schema: messageReply },
      handle: () => {
        throw new AppError('state', 'VMs cannot be created from templates yet');
      },
    }),
    route({
      method: 'PUT',
      path: '/vm/:vm',
      summary: "Replace a VM's definition",
      values: z.object({ vm: VM_VALUES.vm, xml: VM_VALUES.xml, create_volumes: VM_VALUES.create_volumes, restart: flag('Restart the VM, if it runs, with the new definition.') }),
      reply: { code: 200, schema: messageReply },
      handle: async (values) => {
        const { uuid } = vmOf(deps, values.vm);
        return deps.disks.provide(values.xml, values.create_volumes, async (created) => {
          const spec = await deps.vms.modify(uuid, { xml: values.xml, restart: values.restart });
          const when = values.restart ? ' and is restarted if it runs' : ', which it runs with from its next start';
          return done(`VM ${spec.name} has the new definition${when}${createdText(created)}`);
        });
      },
    }),
    route({
      method: 'DELETE',
      path: '/vm/:vm',
      summary: 'Stop a VM by force and forget it',
      values: z.object({ vm: VM_VALUES.vm, delete_disks: flag("Remove the VM's volumes too.") }),
      valueAliases: { 'delete-disks': 'delete_disks' },
      reply: { code: 200, schema: messageReply },
      handle: async (values, call) => {
        const vm = vmOf(deps, values.vm);
        if (values.delete_disks) await removeDisks(deps, vm.doc, call);
        await deps.vms.remove(vm.uuid, { disks: values.delete_disks });
        return done(`VM ${vm.doc.name} is removed`);
      },
    }),
  ];
}

/** Before the VM: a removal that breaks off leaves a VM that can be removed again, and no volumes that nobody knows. */
async function removeDisks(deps: VmRouteDeps, vm: VmSpec, call: Call): Promise<void> {
  deps.disks.refuseShared(vm);
  await deps.vms.setPower(vm.uuid, 'stop');
  await waitForChange({ mirror: deps.mirror, clock: deps.clock, what: `the end of VM ${vm.name}`, kinds: ['vm-status'], signal: call.gone() }, () =>
    isOwned(deps.mirror.get('vm-status', vm.uuid)?.doc) ? undefined : true,
  );
  await deps.disks.remove(vm);
}
