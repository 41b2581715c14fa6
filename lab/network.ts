import { access, readdir } from 'node:fs/promises';
import { isAppError } from '../common/errors.ts';
import { run, type Command } from '../common/process.ts';
import { hasErrno } from './processes.ts';
import { hostNamespace, switchNamespace, type LabHost, type LabPlace } from './state.ts';

/** Room for VXLAN's 50 bytes above a guest's 1500. Both ends of each link must have it, or large packets vanish without a word. */
const UNDERLAY_MTU_BYTES = 1600;
/** The switch's own address: whoever looks at the cluster from outside stands here. */
const SWITCH_ADDRESS = '10.77.0.1/24';
export const CLUSTER_PREFIX_LENGTH = 24;
/** The cluster's API address; the primary holds it. */
export const FLOATING_ADDRESS = '10.77.0.10';
export const FLOATING_CIDR = `${FLOATING_ADDRESS}/${CLUSTER_PREFIX_LENGTH}`;

const IP_TIMEOUT_MS = 15_000;

const ip = (...args: string[]): Promise<unknown> => run(['ip', ...args], { timeoutMs: IP_TIMEOUT_MS });

const port = (host: LabHost): string => `port-${host.name}`;

/** A network namespace with a bridge: all that the hosts have in common. Made already is fine. */
export async function createSwitch(place: LabPlace): Promise<void> {
  const name = switchNamespace(place);
  if (await namespaceExists(name)) return;
  await ip('netns', 'add', name);
  await ip('-n', name, 'link', 'set', 'lo', 'up');
  await ip('-n', name, 'link', 'add', 'br0', 'mtu', String(UNDERLAY_MTU_BYTES), 'type', 'bridge', 'stp_state', '0', 'forward_delay', '0');
  await ip('-n', name, 'addr', 'add', SWITCH_ADDRESS, 'dev', 'br0');
  await ip('-n', name, 'link', 'set', 'br0', 'up');
}

/** The host's network namespace, with eth0 plugged into the switch. */
export async function plugIn(place: LabPlace, host: LabHost): Promise<void> {
  const sw = switchNamespace(place);
  const name = hostNamespace(place, host.name);
  const mtu = String(UNDERLAY_MTU_BYTES);
  const mac = `02:77:00:00:00:0${host.number}`;
  await ip('netns', 'add', name);
  await ip('link', 'add', port(host), 'mtu', mtu, 'netns', sw, 'type', 'veth', 'peer', 'name', 'eth0', 'mtu', mtu, 'address', mac, 'netns', name);
  await ip('-n', sw, 'link', 'set', port(host), 'master', 'br0', 'up');
  await ip('-n', name, 'link', 'set', 'lo', 'up');
  await ip('-n', name, 'link', 'set', 'eth0', 'up');
  await ip('-n', name, 'addr', 'add', `${host.address}/${CLUSTER_PREFIX_LENGTH}`, 'dev', 'eth0');
}

/** Pulls the plug: the peers get no FIN and no RST, as when the mains fail. Pulled already is fine. */
export async function unplug(place: LabPlace, host: LabHost): Promise<void> {
  await tolerate(ip('-n', switchNamespace(place), 'link', 'del', port(host)));
}

/** Isolates the host from all the others, at once. */
export async function cut(place: LabPlace, host: LabHost): Promise<void> {
  await ip('-n', switchNamespace(place), 'link', 'set', port(host), 'down');
}

export async function heal(place: LabPlace, host: LabHost): Promise<void> {
  await ip('-n', switchNamespace(place), 'link', 'set', port(host), 'up');
}

/** 'cut' when the link is down at the switch, undefined when the host is not plugged in. */
export async function linkState(place: LabPlace, host: LabHost): Promise<'plugged' | 'cut' | undefined> {
  const command: Command = ['ip', '-n', switchNamespace(place), 'link', 'show', 'dev', port(host), 'up'];
  try {
    const { stdout } = await run(command, { timeoutMs: IP_TIMEOUT_MS });
    return stdout.trim() === '' ? 'cut' : 'plugged';
  } catch (error) {
    if (isAppError(error, 'component')) return undefined;
    throw error;
  }
}

export async function namespaceExists(name: string): Promise<boolean> {
  return access(`/run/netns/${name}`).then(
    () => true,
    () => false,
  );
}

/** Every namespace of this lab, known or left over. */
export async function labNamespaces(place: LabPlace): Promise<string[]> {
  const names = await readdir('/run/netns').catch((error: unknown) => {
    if (hasErrno(error, 'ENOENT')) return [];
    throw error;
  });
  return names.filter((name) => name.startsWith(`${place.prefix}-`));
}

/** Pids of everything that runs in the namespace. */
export async function namespacePids(name: string): Promise<number[]> {
  const { stdout } = await run(['ip', 'netns', 'pids', name], { timeoutMs: IP_TIMEOUT_MS });
  return stdout.split('\n').filter((line) => line !== '').map(Number);
}

/** Removes the namespace with all its links, addresses and rules. Gone already is fine. */
export async function deleteNamespace(name: string): Promise<void> {
  await tolerate(ip('netns', 'del', name));
}

async function tolerate(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!isAppError(error, 'component')) throw error;
  }
}
