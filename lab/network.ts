import { access, readdir } from 'node:fs/promises';
import { isAppError } from '../common/errors.ts';
import { run, type Command } from '../common/process.ts';
import { hasErrno } from './processes.ts';
import { hostNamespace, switchNamespace, type LabHost, type LabPlace } from './state.ts';

/** Room for VXLAN's 50 bytes above a guest's 1500. Both ends of each link must have it, or large packets vanish without a word. */
const UNDERLAY_MTU_BYTES = 1600;
/** The switch's own address: whoever looks at the cluster from outside stands here. */
const SWITCH_ADDRESS = '10.77.0.1/24';
const CLUSTER_PREFIX_LENGTH = 24;
export const CLUSTER_CIDR = `10.77.0.0/${CLUSTER_PREFIX_LENGTH}`;
/** The cluster's API address; the primary holds it. */
export const FLOATING_ADDRESS = '10.77.0.10';
export const FLOATING_CIDR = `${FLOATING_ADDRESS}/${CLUSTER_PREFIX_LENGTH}`;
/** The way out of the cluster, on each host's second link; the switch is its router. */
const UPSTREAM_SWITCH_ADDRESS = '10.78.0.1';
const UPSTREAM_PREFIX_LENGTH = 24;
export const UPSTREAM_FLOATING_CIDR = `10.78.0.10/${UPSTREAM_PREFIX_LENGTH}`;
/** Of a host's links, the first is the cluster's, the second leads upstream and carries the VLANs of bridged networks. */
export const CLUSTER_DEVICE = 'eth0';
export const UPSTREAM_DEVICE = 'eth1';

const IP_TIMEOUT_MS = 15_000;

const ip = (...args: string[]): Promise<unknown> => run(['ip', ...args], { timeoutMs: IP_TIMEOUT_MS });

/** The switch's ends of a host's two links. */
const port = (host: LabHost): string => `port-${host.name}`;
const upstreamPort = (host: LabHost): string => `up-${host.name}`;
const ports = (host: LabHost): string[] => [port(host), upstreamPort(host)];

/** A network namespace with a bridge for each of a host's links: all that the hosts have in common. Made already is fine. */
export async function createSwitch(place: LabPlace): Promise<void> {
  const name = switchNamespace(place);
  if (await namespaceExists(name)) return;
  await ip('netns', 'add', name);
  await ip('-n', name, 'link', 'set', 'lo', 'up');
  for (const [bridge, address] of [['br0', SWITCH_ADDRESS], ['br1', `${UPSTREAM_SWITCH_ADDRESS}/${UPSTREAM_PREFIX_LENGTH}`]] as const) {
    await ip('-n', name, 'link', 'add', bridge, 'mtu', String(UNDERLAY_MTU_BYTES), 'type', 'bridge', 'stp_state', '0', 'forward_delay', '0', 'mcast_snooping', '0');
    await ip('-n', name, 'addr', 'add', address, 'dev', bridge);
    await ip('-n', name, 'link', 'set', bridge, 'up');
  }
}

/** The host's network namespace, with both links plugged into the switch, and the way out upstream. */
export async function plugIn(place: LabPlace, host: LabHost): Promise<void> {
  const name = hostNamespace(place, host.name);
  await ip('netns', 'add', name);
  await ip('-n', name, 'link', 'set', 'lo', 'up');
  const at = { place, name };
  await plug(at, { device: CLUSTER_DEVICE, port: port(host), bridge: 'br0', mac: `02:77:00:00:00:0${host.number}`, cidr: `${host.address}/${CLUSTER_PREFIX_LENGTH}` });
  await plug(at, { device: UPSTREAM_DEVICE, port: upstreamPort(host), bridge: 'br1', mac: `02:78:00:00:00:0${host.number}`, cidr: `10.78.0.1${host.number}/${UPSTREAM_PREFIX_LENGTH}` });
  await ip('-n', name, 'route', 'add', 'default', 'via', UPSTREAM_SWITCH_ADDRESS);
}

interface Plug {
  device: string;
  port: string;
  bridge: string;
  mac: string;
  cidr: string;
}

async function plug({ place, name }: { place: LabPlace; name: string }, { device, port: end, bridge, mac, cidr }: Plug): Promise<void> {
  const sw = switchNamespace(place);
  const mtu = String(UNDERLAY_MTU_BYTES);
  await ip('link', 'add', end, 'mtu', mtu, 'netns', sw, 'type', 'veth', 'peer', 'name', device, 'mtu', mtu, 'address', mac, 'netns', name);
  await ip('-n', sw, 'link', 'set', end, 'master', bridge, 'up');
  await ip('-n', name, 'link', 'set', device, 'up');
  await ip('-n', name, 'addr', 'add', cidr, 'dev', device);
}

/** Pulls the plug: the peers get no FIN and no RST, as when the mains fail. Pulled already is fine. */
export async function unplug(place: LabPlace, host: LabHost): Promise<void> {
  for (const end of ports(host)) await tolerate(ip('-n', switchNamespace(place), 'link', 'del', end));
}

/** Isolates the host from all the others, at once. */
export async function cut(place: LabPlace, host: LabHost): Promise<void> {
  for (const end of ports(host)) await ip('-n', switchNamespace(place), 'link', 'set', end, 'down');
}

export async function heal(place: LabPlace, host: LabHost): Promise<void> {
  for (const end of ports(host)) await ip('-n', switchNamespace(place), 'link', 'set', end, 'up');
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
