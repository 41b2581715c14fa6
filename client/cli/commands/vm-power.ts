import type { VmView } from '../../../common/view/vm.ts';
import { ClientError, toClientError } from '../../client-error.ts';
import type { RestingVmState, VmClient } from '../../vm-client.ts';
import type { Context } from '../context.ts';
import { flag, oneWord } from '../declare.ts';
import { attend } from '../progress/attend.ts';
import { actVerb, type Reply, type Verb } from '../verb.ts';
import { VM, VMS } from './vm-parts.ts';

interface Power {
  /** For people: what the VM does. */
  readonly what: string;
  ask(vms: VmClient, name: string): Promise<{ message: string }>;
  /** Where it ends. */
  readonly states: readonly RestingVmState[];
  readonly cancel?: 'stop' | undefined;
}

/** Asks all of them, and waits for all; one that fails does not stop the rest. @throws ClientError 'outcome' when one of several has failed. */
async function forEach(context: Context, names: readonly string[], power: Power): Promise<Reply> {
  const vms = await context.vms();
  const asked = await Promise.allSettled(names.map((name) => power.ask(vms, name)));
  const taken = names.filter((_name, at) => asked[at]?.status === 'fulfilled');
  const refused = failuresOf(names, asked);
  if (!context.settings.wait) return summed(context, names, { done: asked.flatMap((one) => (one.status === 'fulfilled' ? [one.value.message] : [])), failures: refused });
  const ended = taken.length === 0 ? [] : await attended(context, vms, taken, power);
  if (ended === undefined) return { message: `see pvc vm list` };
  const failures = [...refused, ...failuresOf(taken, ended)];
  return summed(context, names, { done: ended.flatMap((one) => (one.status === 'fulfilled' ? [endOf(one.value)] : [])), failures });
}

function attended(context: Context, vms: VmClient, names: readonly string[], power: Power): Promise<PromiseSettledResult<VmView>[] | undefined> {
  const cancel = power.cancel === undefined ? undefined : { about: 'the VM is stopped', run: () => Promise.all(names.map((name) => vms.stop(name))) };
  return attend<PromiseSettledResult<VmView>[]>(context, {
    what: `${power.what} of ${names.length === 1 ? `VM ${names.join('')}` : `${names.length} VMs`}`,
    seeLater: 'pvc vm list',
    cancel,
    wait: async ({ limitMs, signal }) => {
      const ended = await Promise.allSettled(names.map((name) => vms.waitVm(name, power.states, { limitMs, signal })));
      const over = ended.flatMap((one) => (one.status === 'rejected' ? [toClientError(one.reason)] : [])).find(({ kind }) => kind === 'aborted' || (kind === 'timeout' && names.length === 1));
      if (over !== undefined) throw over;
      return ended;
    },
  });
}

interface Failure {
  name: string;
  error: ClientError;
}

function failuresOf(names: readonly string[], results: readonly PromiseSettledResult<unknown>[]): Failure[] {
  return results.flatMap((one, at) => (one.status === 'rejected' ? [{ name: names[at] ?? '', error: toClientError(one.reason) }] : []));
}

function endOf(vm: VmView): string {
  return vm.state === 'start' ? `VM ${vm.name} runs on node ${vm.node}` : `VM ${vm.name} is off (${vm.state})`;
}

/** One that fails alone fails as itself. */
async function summed(context: Context, names: readonly string[], { done, failures }: { done: readonly string[]; failures: readonly Failure[] }): Promise<Reply> {
  const [first] = failures;
  if (first === undefined) return { message: done.join('\n') };
  if (names.length === 1) throw first.error;
  for (const message of done) await context.printReply({ message });
  for (const { name, error } of failures) context.note(`pvc: ${name}: ${[error.message, ...(error.kind === 'outcome' ? error.details : [])].join('; ')}`);
  throw new ClientError('outcome', `${failures.length} of ${names.length} VMs failed`);
}

const start = actVerb({
  name: 'start',
  about: 'Start VMs',
  arguments: { vms: VMS },
  waits: true,
  examples: [
    ['pvc vm start web1', 'and wait until it runs'],
    ['pvc vm start web1 web2 web3', 'all at once; one that fails does not stop the rest'],
  ],
  run: (context, { vms }) => forEach(context, vms, { what: 'the start', ask: (client, name) => client.start(name), states: ['start'], cancel: 'stop' }),
});

const shutdown = actVerb({
  name: 'shutdown',
  about: 'Ask guests to shut down',
  detail: 'A guest that does not obey is stopped after the time limit of its node (90 s).',
  arguments: { vms: VMS },
  waits: true,
  examples: [['pvc vm shutdown web1', 'and wait until it is off']],
  run: (context, { vms }) => forEach(context, vms, { what: 'the shutdown', ask: (client, name) => client.shutdown(name), states: ['stop', 'disable'] }),
});

/** What a forced stop costs, for VMs that are not off. */
async function runningOnes(context: Context, names: readonly string[]): Promise<string[]> {
  const client = await context.vms();
  const seen = await Promise.all(names.map((name) => client.get(name)));
  return seen.filter(({ state }) => !['stop', 'disable', 'fail'].includes(state)).map(({ name, state }) => `VM ${name} (${state}) loses what its guest has not written to disk, as if its power was cut`);
}

const stop = actVerb({
  name: 'stop',
  about: 'Stop VMs by force, as if their power was cut',
  arguments: { vms: VMS },
  waits: true,
  examples: [
    ['pvc vm stop web1', 'asks first, if it runs'],
    ['pvc vm stop web1 --yes', 'does not ask'],
  ],
  loses: (context, { vms }) => runningOnes(context, vms),
  run: (context, { vms }) => forEach(context, vms, { what: 'the stop', ask: (client, name) => client.stop(name), states: ['stop', 'disable'] }),
});

const restart = actVerb({
  name: 'restart',
  about: 'Shut guests down and start them again',
  arguments: { vms: VMS },
  waits: true,
  examples: [['pvc vm restart web1', 'a new definition is used from then on']],
  run: (context, { vms }) => forEach(context, vms, { what: 'the restart', ask: (client, name) => client.restart(name), states: ['start'] }),
});

const disable = actVerb({
  name: 'disable',
  about: 'Take VMs that are off out of use',
  arguments: { vms: VMS },
  options: { force: flag('--force', 'stop them by force first') },
  waits: true,
  examples: [
    ['pvc vm disable web1', 'it must be off'],
    ['pvc vm disable web1 --force', 'stops it; asks first'],
  ],
  loses: async (context, { vms, force }) => (force === true ? runningOnes(context, vms) : []),
  run: (context, { vms, force }) => forEach(context, vms, { what: 'the end of use', ask: (client, name) => client.disable(name, { force }), states: ['disable'] }),
});

const wait = actVerb({
  name: 'wait',
  about: 'Wait until a VM is in a state, and nothing that was asked of it is on its way',
  arguments: { vm: VM, state: oneWord(['start', 'stop', 'disable', 'fail'], 'the state') },
  waits: true,
  examples: [['pvc vm wait web1 start --wait-limit 60', 'a minute at most']],
  run: async (context, given) => {
    const client = await context.vms();
    const seen = await attend<VmView>(context, { what: `the wait for VM ${given.vm}`, seeLater: `pvc vm info ${given.vm}`, wait: (options) => client.waitVm(given.vm, given.state, options) });
    return { message: seen === undefined ? `see pvc vm info ${given.vm}` : endOf(seen) };
  },
});

export const VM_POWER_VERBS: readonly Verb[] = [start, shutdown, stop, restart, disable, wait];
