import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { shownNode, shownVmState } from '../../common/domain/vm-state.ts';
import { isAppError } from '../../common/errors.ts';
import { migrationMethod, selector } from '../../common/schema/vm.ts';
import { definedOnly, domainXml, guestBehaviour, uuidOf, vmPlan, type SimulatedClient, type SimulatedCluster } from '../support/simulated-cluster.ts';
import { networkSettings } from '../support/simulated-networks.ts';
import { NETWORK_OPERATIONS, NETWORK_WORLD } from './network-steps.ts';
import { SERVING_OPERATIONS, SERVING_WORLD } from './serving-steps.ts';

/** One line of script.json. Which fields a step needs follows from `do`. */
export const scriptStep = z.strictObject({
  /** Since the start of the script; without it, right after the step before. */
  atMs: z.number().optional(),
  do: z.string(),
  vm: z.string().optional(),
  node: z.string().optional(),
  /** The process that asks: the API unless it says otherwise. */
  via: z.string().optional(),
  /** Expected answer of an operation: 'ok' or the error's code. */
  answer: z.string().optional(),
  /** The answer is not waited for. */
  background: z.boolean().optional(),
  ms: z.number().optional(),
  withinMs: z.number().optional(),
  name: z.string().optional(),
  method: migrationMethod.optional(),
  selector: selector.optional(),
  force: z.boolean().optional(),
  permanent: z.boolean().optional(),
  restart: z.boolean().optional(),
  memoryMib: z.number().optional(),
  plan: vmPlan.optional(),
  guest: guestBehaviour.optional(),
  outcome: z.enum(['done', 'not-done']).optional(),
  tags: z.array(z.string()).optional(),
  /** Of `until` and `check`. */
  shown: z.string().optional(),
  on: z.string().nullable().optional(),
  phase: z.string().optional(),
  place: z.string().optional(),
  home: z.string().nullable().optional(),
  domains: z.string().optional(),
  coordinator: z.string().optional(),
  blocked: z.array(z.string()).optional(),
  reason: z.string().optional(),
  outcomeOfMove: z.string().optional(),
  count: z.number().optional(),
  /** Of networks. */
  vni: z.number().optional(),
  type: z.enum(['managed', 'bridged']).optional(),
  mtu: z.number().optional(),
  settings: networkSettings.optional(),
  link: z.string().optional(),
  /** Of what serves them. */
  server: z.string().optional(),
  address: z.string().optional(),
  rule: z.string().optional(),
  direction: z.enum(['in', 'out']).optional(),
  chain: z.string().optional(),
  lines: z.array(z.string()).optional(),
  expiresInMs: z.number().optional(),
  up: z.boolean().optional(),
  /** Tells two definitions of one name apart. */
  id: z.string().optional(),
});
export type ScriptStep = z.infer<typeof scriptStep>;

export interface ScriptContext {
  cluster: SimulatedCluster;
  answers: Promise<void>[];
}

type Operation = (client: SimulatedClient, step: ScriptStep) => Promise<unknown>;

/** What a person asks for, as the routes call it. */
const OPERATIONS: Readonly<Record<string, Operation>> = {
  define: ({ vm }, step) => {
    const plan = needed(step.plan, 'plan');
    return vm.define({ xml: domainXml(plan, uuidOf(step.id ?? plan.name)), node: plan.on, selector: plan.selector, nodeLimit: plan.nodeLimit as never, autostart: plan.autostart });
  },
  start: ({ vm }, step) => vm.setPower(idOf(step), 'start'),
  stop: ({ vm }, step) => vm.setPower(idOf(step), 'stop'),
  shutdown: ({ vm }, step) => vm.setPower(idOf(step), 'shutdown'),
  restart: ({ vm }, step) => vm.setPower(idOf(step), 'restart'),
  disable: ({ vm }, step) => vm.setPower(idOf(step), 'disable'),
  migrate: ({ vm }, step) =>
    vm.migrate(idOf(step), { node: step.node, ...definedOnly({ force: step.force, permanent: step.permanent }), method: step.method, selector: step.selector }),
  unmigrate: ({ vm }, step) => vm.unmigrate(idOf(step), { method: step.method }),
  abort: ({ vm }, step) => vm.abortMigration(idOf(step)),
  remove: ({ vm }, step) => vm.remove(idOf(step), { disks: false }),
  rename: ({ vm }, step) => vm.rename(idOf(step), needed(step.name, 'name')),
  modify: ({ vm }, step) =>
    vm.modify(idOf(step), { xml: domainXml({ name: needed(step.vm, 'vm'), memoryMib: needed(step.memoryMib, 'memoryMib'), vcpus: 1 }), restart: step.restart === true }),
  tag: ({ vm }, step) => vm.addTag(idOf(step), { name: needed(step.name, 'name'), protected: false }),
  flush: ({ node }, step) => node.setDomains(needed(step.node, 'node'), 'flush', { requestedBy: 'test' }),
  ready: ({ node }, step) => node.setDomains(needed(step.node, 'node'), 'ready', { requestedBy: 'test' }),
  primary: ({ node }, step) => node.setCoordinator(needed(step.node, 'node'), 'primary'),
  secondary: ({ node }, step) => node.setCoordinator(needed(step.node, 'node'), 'secondary'),
  ...NETWORK_OPERATIONS,
  ...SERVING_OPERATIONS,
};

/** What the ensemble holds is in every mirror after this: a person who looks sees it. */
const SEEN_BY_ALL_MS = 20;

type WorldAction = (cluster: SimulatedCluster, step: ScriptStep) => void | Promise<void>;

/** What happens to hosts, daemons, guests and the store. */
const WORLD: Readonly<Record<string, WorldAction>> = {
  wait: (cluster, step) => cluster.advance(needed(step.ms, 'ms')),
  kill: (cluster, step) => cluster.node(needed(step.node, 'node')).kill(),
  boot: (cluster, step) => cluster.node(needed(step.node, 'node')).boot(),
  terminate: (cluster, step) => {
    const ended = cluster.node(needed(step.node, 'node')).terminate();
    return step.background === true ? void ended : cluster.done(ended);
  },
  'power-off': (cluster, step) => {
    const node = cluster.node(needed(step.node, 'node'));
    node.kill();
    node.host.powerOff();
  },
  'power-on': (cluster, step) => {
    const node = cluster.node(needed(step.node, 'node'));
    node.host.powerOn();
    node.boot();
  },
  partition: (cluster, step) => cluster.zookeeper.partition(needed(step.node, 'node')),
  heal: (cluster, step) => {
    const node = cluster.node(needed(step.node, 'node'));
    node.host.reachable = true;
    cluster.zookeeper.heal(node.host.name);
  },
  /** Off the network altogether. */
  cut: (cluster, step) => {
    const node = cluster.node(needed(step.node, 'node'));
    node.host.reachable = false;
    cluster.zookeeper.partition(node.host.name);
    for (const other of cluster.nodes.values()) for (const migration of [...other.host.migrations.values()]) if (migration.source === node.host || migration.target === node.host) migration.linkBroken();
  },
  expire: (cluster, step) => cluster.zookeeper.expire(needed(step.node, 'node')),
  outage: (cluster) => cluster.zookeeper.startOutage(),
  'outage-end': (cluster) => cluster.zookeeper.endOutage(),
  'lose-reply': (cluster, step) => cluster.zookeeper.loseReply(needed(step.node, 'node'), needed(step.outcome, 'outcome')),
  'guest-crash': (cluster, step) => hostOf(cluster, step).end(idOf(step), 'crashed'),
  'guest-power-off': (cluster, step) => hostOf(cluster, step).end(idOf(step), 'shutdown'),
  behave: (cluster, step) => cluster.hosts.behave(idOf(step), definedOnly(step.guest ?? {})),
  /** A guest with our mark that nobody asked for. */
  stray: (cluster, step) => cluster.hosts.get(needed(step.node, 'node')).addDomain({ uuid: idOf(step), name: needed(step.vm, 'vm'), ours: true, state: 'running', shutoffReason: undefined }),
  foreign: (cluster, step) => cluster.hosts.get(needed(step.node, 'node')).addDomain({ uuid: idOf(step), name: needed(step.vm, 'vm'), ours: false, state: 'running', shutoffReason: undefined }),
  'stop-libvirt': (cluster, step) => cluster.hosts.get(needed(step.node, 'node')).stopLibvirt(),
  'start-libvirt': (cluster, step) => cluster.hosts.get(needed(step.node, 'node')).powerOn(),
  until: async (cluster, step) => {
    try {
      await cluster.until(() => differences(cluster, step).length === 0, step.withinMs ?? 30_000, JSON.stringify(step));
      await cluster.advance(SEEN_BY_ALL_MS);
    } catch (error) {
      if (error instanceof Error) error.message += `\n${differences(cluster, step).join('\n')}`;
      throw error;
    }
  },
  check: (cluster, step) => {
    const faults = differences(cluster, step);
    if (faults.length > 0) throw new Error(`${JSON.stringify(step)}\n${faults.join('\n')}\n${cluster.record.tail()}`);
  },
  /** Guests that are leaving a host now. */
  'check-migrations': (cluster, step) => {
    const count = cluster.hosts.all().reduce((sum, host) => sum + host.migrations.size, 0);
    if (count !== step.count) throw new Error(`${count} migrations are under way and not ${step.count}\n${cluster.record.tail()}`);
  },
  'check-address': (cluster, step) => {
    const holders = cluster.hosts.all().filter((host) => host.addresses.size > 0).map((host) => host.name);
    const right = step.on === 'some' ? holders.length === 1 : isDeepStrictEqual(holders[0] ?? null, step.on);
    if (!right) throw new Error(`the address is on ${holders.join() || 'no node'} and not on ${step.on}\n${cluster.record.tail()}`);
  },
  /** What libvirt was given. */
  'check-domain': (cluster, step) => {
    const domain = hostOf(cluster, step).domains.get(idOf(step));
    if (domain?.memoryMib !== step.memoryMib) throw new Error(`${step.vm} has ${domain?.memoryMib} MiB`);
  },
  /** Each VM has its name, each name its VM. */
  'check-names': ({ record }) => {
    const names = record.all('vm').map((spec) => spec.name);
    if (new Set(names).size !== names.length) throw new Error(`a name twice: ${names.join()}`);
    for (const spec of record.all('vm')) if (record.doc('vm-name', spec.name)?.uuid !== spec.uuid) throw new Error(`the name ${spec.name} does not lead to its VM\n${record.tail()}`);
  },
  settled: (cluster, step) => cluster.settled(step.withinMs ?? 30_000),
  'leave-unsettled': () => undefined,
  ...NETWORK_WORLD,
  ...SERVING_WORLD,
};

export async function runStep(context: ScriptContext, step: ScriptStep): Promise<void> {
  const { cluster, answers } = context;
  const world = WORLD[step.do];
  if (world !== undefined) return world(cluster, step);
  const operation = OPERATIONS[step.do];
  if (operation === undefined) throw new Error(`no step ${step.do}`);
  const client = await cluster.client(step.via ?? 'api');
  const answer = ask(cluster, { operation, client }, step);
  // Looked at when the script has ended; until then it must not count as unhandled.
  answer.catch(() => undefined);
  answers.push(answer);
  if (step.background !== true) await cluster.done(answer);
}

/** The answer must be the expected one, and must be true. */
async function ask(cluster: SimulatedCluster, how: { operation: Operation; client: SimulatedClient }, step: ScriptStep): Promise<void> {
  const { record } = cluster;
  if (step.do === 'remove') record.defined.delete(idOf(step));
  const id = [step.do, step.vm ?? step.plan?.name ?? step.node ?? step.vni?.toString(), step.name].filter((part) => part !== undefined).join(' ');
  const result = await how.operation(how.client, step).then(
    (value) => ({ answer: 'ok', value }),
    (error: unknown) => ({ answer: isAppError(error) ? error.code : `not an AppError: ${String(error)}`, value: undefined }),
  );
  record.observe();
  record.add({ event: 'answer', id, to: result.answer });
  if (result.answer === 'ok') checkTrue(cluster, step, result.value);
  if (step.answer !== undefined && step.answer !== result.answer) throw new Error(`${JSON.stringify(step)} was answered with ${result.answer}\n${record.tail()}`);
}

/** Nobody is told success for a write that did not happen. */
function checkTrue({ record }: SimulatedCluster, step: ScriptStep, value: unknown): void {
  if (step.do === 'remove' && record.doc('vm', idOf(step)) !== undefined) record.violate(`removal of ${step.vm} was acknowledged and did not happen`);
  if (value === null || typeof value !== 'object' || !('uuid' in value)) return;
  const { uuid } = value as { uuid: string };
  if (!record.wasWritten(uuid, value)) record.violate(`${step.do} of ${record.nameOf(uuid)} was acknowledged and never written`);
  if (step.do === 'define') record.defined.add(uuid);
}

function differences(cluster: SimulatedCluster, step: ScriptStep): string[] {
  const { record } = cluster;
  const found: Record<string, unknown> = {};
  if (step.vm !== undefined) {
    const uuid = uuidOf(step.vm);
    const spec = record.doc('vm', uuid);
    const status = record.doc('vm-status', uuid);
    found['shown'] = spec === undefined ? 'gone' : shownVmState(spec, status);
    found['node'] = spec && shownNode(spec, status);
    found['on'] = cluster.nodeRunning(step.vm) ?? null;
    found['phase'] = status?.phase.kind;
    found['place'] = spec?.node;
    found['home'] = spec?.homeNode;
    found['memoryMib'] = spec?.memoryMib;
    found['tags'] = spec?.tags.map((tag) => tag.name).sort();
    found['reason'] = status?.phase.kind === 'failed' ? status.phase.reason : undefined;
    found['outcomeOfMove'] = status?.lastMigration?.outcome;
  } else if (step.node !== undefined) {
    const status = record.doc('node-status', step.node);
    found['node'] = step.node;
    found['domains'] = status?.domains.state;
    found['coordinator'] = status?.coordinatorState;
    found['blocked'] = status?.domains.blocked.map((block) => block.name).sort();
  }
  const wanted = Object.entries(step).filter(([key]) => !['do', 'vm', 'atMs', 'withinMs'].includes(key));
  return wanted.flatMap(([key, value]) => {
    const matches = key === 'reason' ? JSON.stringify(found[key] ?? '').includes(step.reason ?? '') : isDeepStrictEqual(found[key], value);
    return matches ? [] : [`${key} is ${JSON.stringify(found[key])} and not ${JSON.stringify(value)}`];
  });
}

function hostOf(cluster: SimulatedCluster, step: ScriptStep): ReturnType<SimulatedCluster['hosts']['get']> {
  return cluster.hosts.get(needed(step.node ?? cluster.nodeRunning(needed(step.vm, 'vm')), 'node'));
}

function idOf(step: ScriptStep): ReturnType<typeof uuidOf> {
  return uuidOf(needed(step.vm, 'vm'));
}

function needed<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(`the step needs ${what}`);
  return value;
}
