import { spawn } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { isAppError } from '../common/errors.ts';
import { AppError } from '../common/errors.ts';
import { run, type Command, type RunResult } from '../common/process.ts';
import type { App } from './app.ts';
import { askSupervisor, CONTROL_SOCKET, type ServiceStatus } from './control.ts';
import { deleteNamespace, linkState, namespacePids, namespaceExists, plugIn, unplug } from './network.ts';
import { childrenOf, identify, isAlive, kill, killAll, processId, startDaemon, waitFor, type ProcessId } from './processes.ts';
import { hostNamespace, readOptional, writeWhole, type LabHost, type LabPlace } from './state.ts';

/** A host that is on: the process that made its namespaces, and its process 1 as seen from outside. */
const powerFile = z.strictObject({ starter: processId, init: processId });
type Power = z.infer<typeof powerFile>;

const BOOT_TIMEOUT_MS = 20_000;
/** The kernel ends a host's processes in milliseconds; a busy machine may be slow to say so. */
const DEATH_TIMEOUT_MS = 15_000;

const powerPath = (host: LabHost): string => path.join(host.folder, 'power.json');

/** Turns the host on; returns when its supervisor answers. On already is fine. */
export async function powerOn(place: LabPlace, host: LabHost, app: App, signal: AbortSignal): Promise<void> {
  if ((await readPower(host)) !== undefined) return;
  await clearRemains(place, host);
  await plugIn(place, host);
  const starter = await startDaemon({
    command: [
      'nsenter', `--net=/run/netns/${hostNamespace(place, host.name)}`, '--',
      'unshare', '--mount', '--uts', '--ipc', '--pid', '--fork', '--kill-child', '--mount-proc', '--propagation', 'private', '--',
      '/bin/bash', app.file('lab/host-init.sh'), host.name, host.folder, process.execPath, app.file('dist/lab/host-init.js'), host.folder,
    ],
    logFile: path.join(host.folder, 'log', 'init.log'),
  });
  const init = await waitFor({ what: `process 1 of ${host.name}`, timeoutMs: BOOT_TIMEOUT_MS, signal }, () => findInit(host, starter));
  await writeWhole(powerPath(host), JSON.stringify({ starter, init }), 0o600);
  await waitFor({ what: `${host.name} to boot`, timeoutMs: BOOT_TIMEOUT_MS, signal }, () => booted(host, init));
  await installLabctl(init, app);
}

async function findInit(host: LabHost, starter: ProcessId): Promise<ProcessId | undefined> {
  if (!(await isAlive(starter))) throw diedEarly(host);
  const [pid] = await childrenOf(starter.pid);
  return pid === undefined ? undefined : identify(pid);
}

async function booted(host: LabHost, init: ProcessId): Promise<true | undefined> {
  if (!(await isAlive(init))) throw diedEarly(host);
  try {
    await askSupervisor(controlSocket(init), { verb: 'status' });
    return true;
  } catch (error) {
    if (isAppError(error, 'unavailable')) return undefined;
    throw error;
  }
}

function diedEarly(host: LabHost): AppError {
  return new AppError('component', 'a host died while booting', { host: host.name, log: path.join(host.folder, 'log', 'init.log') });
}

/** A Unix socket of the host, reached through its process 1's view of the file system. */
const controlSocket = (init: ProcessId): string => `/proc/${init.pid}/root${CONTROL_SOCKET}`;

async function installLabctl(init: ProcessId, app: App): Promise<void> {
  const script = `#!/bin/sh\nexec ${process.execPath} ${app.file('dist/lab/labctl.js')} "$@"\n`;
  await writeFile(`/proc/${init.pid}/root/run/lab/labctl`, script, { mode: 0o755 });
}

/**
 * Cuts the mains: the link first, so that no peer hears a farewell, then process 1, with which the kernel kills all others.
 * What the host wrote to its folder stays. Off already is fine.
 */
export async function powerOff(place: LabPlace, host: LabHost): Promise<void> {
  await unplug(place, host);
  const power = await readPower(host);
  if (power !== undefined) {
    await kill(power.init, 'SIGKILL');
    await waitFor({ what: `${host.name} to die`, timeoutMs: DEATH_TIMEOUT_MS }, async () => ((await isAlive(power.init)) ? undefined : true));
  }
  await clearRemains(place, host);
}

/** Ends what may be left of the host after a crash of whatever kind. */
async function clearRemains(place: LabPlace, host: LabHost): Promise<void> {
  await removeNamespace(hostNamespace(place, host.name));
  await rm(powerPath(host), { force: true });
}

/** Kills everything that runs in the network namespace and deletes it. Gone already is fine. */
export async function removeNamespace(name: string): Promise<void> {
  if (!(await namespaceExists(name))) return;
  await waitFor({ what: `the processes of ${name} to end`, timeoutMs: DEATH_TIMEOUT_MS }, async () => {
    const pids = await namespacePids(name);
    const alive = (await Promise.all(pids.map(identify))).filter((id) => id !== undefined).map((id) => id.pid);
    killAll(alive);
    return alive.length === 0 ? true : undefined;
  });
  await deleteNamespace(name);
}

async function readPower(host: LabHost): Promise<Power | undefined> {
  const text = await readOptional(powerPath(host));
  if (text === undefined) return undefined;
  const power = powerFile.parse(JSON.parse(text));
  return (await isAlive(power.init)) ? power : undefined;
}

async function requirePower(host: LabHost): Promise<Power> {
  const power = await readPower(host);
  if (power === undefined) throw new AppError('state', 'the host is off', { host: host.name });
  return power;
}

export interface HostStatus {
  name: string;
  power: 'on' | 'off';
  /** undefined when the host is off. */
  link: 'plugged' | 'cut' | undefined;
  services: ServiceStatus[];
}

export async function hostStatus(place: LabPlace, host: LabHost): Promise<HostStatus> {
  const power = await readPower(host);
  if (power === undefined) return { name: host.name, power: 'off', link: undefined, services: [] };
  const [link, services] = await Promise.all([linkState(place, host), askSupervisor(controlSocket(power.init), { verb: 'status' })]);
  return { name: host.name, power: 'on', link, services };
}

/** The command as it has to be run from outside to run inside the host. */
export async function insideCommand(host: LabHost, command: readonly string[]): Promise<Command> {
  const { init } = await requirePower(host);
  const enter = ['--target', String(init.pid), '--mount', '--uts', '--ipc', '--net', '--pid', '--'];
  return ['nsenter', ...enter, 'env', 'PATH=/run/lab:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', ...command];
}

/** The host's file system as seen from outside, for as long as it is on. */
export async function hostRoot(host: LabHost): Promise<string> {
  const { init } = await requirePower(host);
  return `/proc/${init.pid}/root`;
}

/**
 * Runs a command inside the host to its end.
 * @throws AppError as `run` does, 'state' when the host is off.
 */
export async function execInside(host: LabHost, command: readonly string[], timeoutMs: number): Promise<RunResult> {
  return run(await insideCommand(host, command), { timeoutMs, cwd: '/' });
}

/** Runs a command inside the host on this terminal and returns its exit code. */
export async function execInteractive(host: LabHost, command: readonly string[]): Promise<number> {
  const [program, ...args] = await insideCommand(host, command);
  const child = spawn(program, args, { stdio: 'inherit', cwd: '/' });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => resolve(code ?? 1));
  });
}
