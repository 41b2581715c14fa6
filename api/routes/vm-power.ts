import { z } from 'zod';
import { isMoveUnderWay, isMoving, shownNode, shownVmState } from '../../common/domain/vm-state.ts';
import { AppError } from '../../common/errors.ts';
import type { VmSpec } from '../../common/schema/vm.ts';
import type { VmStatus } from '../../common/schema/vm-status.ts';
import { vmNodeView, vmStateView } from '../../common/view/vm.ts';
import { flag, text } from '../params/values.ts';
import { presentHome } from '../present/vm.ts';
import { done, messageReply, ok, route, type Call, type Route } from '../route.ts';
import { waitForChange } from '../wait.ts';
import { vmOf, VM_VALUES, type VmRouteDeps } from './vm-values.ts';

/** Where a VM is and whether it runs. */
export function vmPowerRoutes(deps: VmRouteDeps): Route[] {
  return [...stateRoutes(deps), ...nodeRoutes(deps)];
}

function stateRoutes(deps: VmRouteDeps): Route[] {
  return [
    route({
      method: 'GET',
      path: '/vm/:vm/state',
      summary: "Show a VM's state",
      values: z.object({ vm: VM_VALUES.vm }),
      reply: { code: 200, schema: vmStateView },
      handle: (values) => {
        const { doc } = vmOf(deps, values.vm);
        return ok({ name: doc.name, state: shownVmState(doc, statusOf(deps, doc)) });
      },
    }),
    route({
      method: 'POST',
      path: '/vm/:vm/state',
      summary: 'Start, restart, shut down, stop or disable a VM',
      description: 'A shutdown that the guest does not obey is a stop after the time limit of its node (90 s).',
      values: z.object({
        vm: VM_VALUES.vm,
        state: text(z.enum(['start', 'shutdown', 'stop', 'restart', 'disable']), 'What it shall do.'),
        force: flag('With disable: stop it by force first.'),
        wait: flag('Answer when it is done, or has failed.'),
      }),
      reply: { code: 200, schema: messageReply },
      handle: async (values, call) => {
        const { uuid } = vmOf(deps, values.vm);
        if (values.force && values.state === 'disable') await deps.vms.setPower(uuid, 'stop');
        const spec = await deps.vms.setPower(uuid, values.state);
        if (values.wait) await powerReached(deps, spec, call);
        return done(values.wait ? `VM ${spec.name}: ${values.state} is done` : `VM ${spec.name} is asked to ${values.state}`);
      },
    }),
  ];
}

function statusOf(deps: VmRouteDeps, spec: VmSpec): VmStatus | undefined {
  return deps.mirror.get('vm-status', spec.uuid)?.doc;
}

/** @throws AppError 'component' when the VM fails, 'state' when a newer request came or the VM was removed meanwhile. */
async function powerReached(deps: VmRouteDeps, asked: VmSpec, call: Call): Promise<void> {
  await waitForChange(waitOf(deps, `the power state of VM ${asked.name}`, call), () => {
    const { spec, status } = current(deps, asked);
    if (spec.power.generation !== asked.power.generation) throw superseded(asked);
    if ((status?.powerGeneration ?? -1) < asked.power.generation) return offAlready(asked, status);
    if (status?.phase.kind === 'failed') throw new AppError('component', 'the VM failed', { vm: spec.name, why: status.phase.reason });
    return status?.phase.kind === 'running' || status?.phase.kind === 'stopped' ? true : undefined;
  });
}

/** Nobody answers a request to switch off what no node owns. */
function offAlready(asked: VmSpec, status: VmStatus | undefined): true | undefined {
  const starts = asked.power.action === 'start' || asked.power.action === 'restart';
  return !starts && (status?.owner ?? null) === null ? true : undefined;
}

function nodeRoutes(deps: VmRouteDeps): Route[] {
  return [
    route({
      method: 'GET',
      path: '/vm/:vm/node',
      summary: 'Show where a VM is',
      values: z.object({ vm: VM_VALUES.vm }),
      reply: { code: 200, schema: vmNodeView },
      handle: (values) => {
        const { doc } = vmOf(deps, values.vm);
        return ok({ name: doc.name, node: shownNode(doc, statusOf(deps, doc)), last_node: presentHome(doc).last_node });
      },
    }),
    route({
      method: 'POST',
      path: '/vm/:vm/node',
      summary: 'Migrate, unmigrate or move a VM',
      description: 'Live if possible, by shutdown and start if not. A VM that is off only gets another place.',
      values: z.object({
        vm: VM_VALUES.vm,
        action: text(z.enum(['migrate', 'unmigrate', 'move', 'abort']), 'migrate, and remember its home; unmigrate: back home; move: for good; abort: stay where it is.'),
        node: VM_VALUES.node,
        selector: VM_VALUES.selector,
        permanent: flag('With migrate: for good, as move.'),
        force: flag('Also when it has been migrated already; its home stays what it was.'),
        force_live: flag('Only live: fail rather than shut it down.'),
        wait: flag('Answer when it is done, or has failed.'),
      }),
      valueAliases: { 'force-live': 'force_live' },
      reply: { code: 200, schema: messageReply },
      handle: async (values, call) => {
        const { uuid, doc } = vmOf(deps, values.vm);
        if (values.action === 'abort') {
          await deps.vms.abortMigration(uuid);
          return done(`the migration of VM ${doc.name} is aborted`);
        }
        const spec = await place(deps, uuid, { ...values, action: values.action });
        if (values.wait) await placeReached(deps, spec, call);
        return done(values.wait ? `VM ${spec.name} is on node ${spec.node}` : `VM ${spec.name} is asked to go to node ${spec.node}`);
      },
    }),
  ];
}

interface PlaceValues {
  action: 'migrate' | 'unmigrate' | 'move';
  node: string | undefined;
  selector: VmSpec['selector'] | undefined;
  permanent: boolean;
  force: boolean;
  force_live: boolean;
}

function place(deps: VmRouteDeps, uuid: VmSpec['uuid'], values: PlaceValues): Promise<VmSpec> {
  const method = values.force_live ? ('live' as const) : undefined;
  if (values.action === 'unmigrate') return deps.vms.unmigrate(uuid, { method });
  const permanent = values.permanent || values.action === 'move';
  return deps.vms.migrate(uuid, { node: values.node, selector: values.selector, permanent, force: values.force, method });
}

/** @throws AppError 'component' when the migration failed, 'state' when it was aborted, or the VM was removed meanwhile. */
async function placeReached(deps: VmRouteDeps, asked: VmSpec, call: Call): Promise<void> {
  await waitForChange(waitOf(deps, `the migration of VM ${asked.name}`, call), () => {
    const { spec, status } = current(deps, asked);
    const last = status?.lastMigration?.generation === asked.placement.generation ? status.lastMigration : undefined;
    if (last !== undefined && isMoveUnderWay(status)) return undefined;
    if (last?.outcome === 'failed' || last?.outcome === 'aborted') {
      throw new AppError(last.outcome === 'failed' ? 'component' : 'state', `the migration ${last.outcome}`, { vm: spec.name, why: last.error ?? undefined });
    }
    if (spec.placement.generation !== asked.placement.generation) throw superseded(asked);
    return isMoving(spec, status) ? undefined : true;
  });
}

function waitOf(deps: VmRouteDeps, what: string, call: Call): Parameters<typeof waitForChange>[0] {
  return { mirror: deps.mirror, clock: deps.clock, what, kinds: ['vm', 'vm-status'], signal: call.gone() };
}

/** @throws AppError 'state' when the VM is gone or going. */
function current(deps: VmRouteDeps, asked: VmSpec): { spec: VmSpec; status: VmStatus | undefined } {
  const spec = deps.mirror.get('vm', asked.uuid)?.doc;
  if (spec === undefined || spec.deletion !== null) throw new AppError('state', 'the VM was removed meanwhile', { vm: asked.name });
  return { spec, status: statusOf(deps, spec) };
}

function superseded(asked: VmSpec): AppError {
  return new AppError('state', 'a newer request came meanwhile', { vm: asked.name });
}
