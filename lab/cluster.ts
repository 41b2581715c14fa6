import { rm } from 'node:fs/promises';
import path from 'node:path';
import { systemClock } from '../common/clock.ts';
import { AppError } from '../common/errors.ts';
import { run } from '../common/process.ts';
import { apiAnswers, apiUrl, waitForApi } from './api-client.ts';
import { CEPH_KEYS_FILE } from './ceph-keys.ts';
import { installCeph } from './ceph-install.ts';
import { startCeph } from './ceph.ts';
import { closeDoor, isOpen, openDoor } from './api-door.ts';
import { installApp, labApp } from './app.ts';
import { writeHostFiles, writeSshKeys } from './config-files.ts';
import { guestImage } from './guest-image.ts';
import { hostStatus, powerOff, powerOn, removeNamespace, type HostStatus } from './host.ts';
import { detachLoopDevices } from './loop-device.ts';
import { createSwitch, labNamespaces } from './network.ts';
import { waitFor } from './processes.ts';
import { DEFAULT_API_PORT, labHosts, newState, readState, withLock, writeState, type Accel, type LabHost, type LabPlace, type LabState } from './state.ts';

export interface UpOptions {
  /** Absent: as many as the lab has, 3 for a new one. */
  nodes?: number | undefined;
  accel?: Accel | undefined;
  apiPort?: number | undefined;
  /** Without the project's daemons. */
  bare?: boolean | undefined;
  /** With Ceph; so is a new lab that is not told. */
  storage?: boolean | undefined;
}

const DEFAULT_NODES = 3;
/** The promise is a minute for the whole cluster on a quiet machine; a busy one is given more. */
const SERVICES_TIMEOUT_MS = 120_000;

export type Say = (text: string) => void;

/**
 * Brings the cluster up, or finds it running, or boots it again from its hosts' folders.
 * @throws AppError 'state' when it runs with other options than those asked for.
 */
export async function up(place: LabPlace, options: UpOptions, say: Say, signal: AbortSignal): Promise<LabState> {
  return withLock(place, signal, async () => {
    const known = await readState(place);
    const running = known !== undefined && (await isRunning(place, known));
    if (known !== undefined) refuseOtherOptions(known, options, running);
    const state = known ?? freshState(options);
    if (running) {
      say(`the cluster of ${state.nodes} is running`);
      await openDoor(place, state, labApp(place));
      if (!state.bare && !(await apiAnswers(state))) say('but its API does not answer now: see npm run lab -- status, or take it down');
      return state;
    }
    await bringUp(place, state, say, signal);
    return state;
  });
}

function freshState(options: UpOptions): LabState {
  const { nodes = DEFAULT_NODES, accel = 'tcg', apiPort = DEFAULT_API_PORT, bare = false, storage = true } = options;
  return newState({ nodes, accel, apiPort, bare, storage });
}

function refuseOtherOptions(known: LabState, options: UpOptions, running: boolean): void {
  const { nodes, accel, apiPort, bare, storage } = known;
  const asked = { ...known, ...Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) };
  if (asked.nodes === nodes && asked.accel === accel && asked.apiPort === apiPort && asked.bare === bare && asked.storage === storage) return;
  throw new AppError('state', 'this lab was made with other options: take it down first', { nodes, accel, apiPort, bare, storage, running });
}

/** Running: the door and at least one host. */
async function isRunning(place: LabPlace, state: LabState): Promise<boolean> {
  const statuses = await Promise.all(labHosts(place, state.nodes).map((host) => hostStatus(place, host)));
  return statuses.some((status) => status.power === 'on');
}

async function bringUp(place: LabPlace, state: LabState, say: Say, signal: AbortSignal): Promise<void> {
  const beganMs = systemClock.monotonicMs();
  const step: Say = (text) => say(`[${((systemClock.monotonicMs() - beganMs) / 1_000).toFixed(1).padStart(5)} s] ${text}`);
  await checkKvm(state.accel);
  await writeState(place, state);
  await guestImage(place.cache, step);
  const hosts = labHosts(place, state.nodes);
  const app = await installApp(place);
  for (const host of hosts) await writeHostFiles(place, state, host, app);
  await writeSshKeys(place, state);
  step('program, keys and configuration are in place');
  if (state.storage) {
    await installCeph(place, state);
    step("Ceph's monitors and OSDs are on the hosts' disks");
  }
  await createSwitch(place);
  await openDoor(place, state, app);
  await Promise.all(hosts.map((host) => powerOn(place, host, app, signal)));
  step(`${hosts.length} hosts are on: ${hosts.map((host) => `${host.name} ${host.address}`).join(', ')}`);
  await Promise.all(['zookeeper', 'libvirtd', 'sshd'].map((service) => waitForService(place, hosts, service, step, signal)));
  const apiUp = async (): Promise<void> => {
    await waitForApi(state, signal);
    step(`all ${hosts.length} nodes run, and the API answers at ${apiUrl(state)}`);
  };
  await Promise.all([state.storage ? startCeph(place, state, step, signal) : undefined, state.bare ? undefined : apiUp()]);
}

const KVM_CHECK_TIMEOUT_MS = 30_000;

/** Starts an empty guest for a moment: /dev/kvm may be there, and open, on a machine that can run nothing with it. */
async function checkKvm(accel: Accel): Promise<void> {
  if (accel === 'tcg') return;
  const emulator = ['qemu-system-x86_64', '-machine', 'pc,accel=kvm', '-cpu', 'host', '-nodefaults', '-display', 'none', '-monitor', 'stdio'] as const;
  await run([...emulator], { timeoutMs: KVM_CHECK_TIMEOUT_MS, input: 'quit\n' }).catch((error: unknown) => {
    throw new AppError('state', 'guests do not run with KVM on this machine: leave out --accel kvm', {}, { cause: error });
  });
}

async function waitForService(place: LabPlace, hosts: readonly LabHost[], service: string, step: Say, signal: AbortSignal): Promise<void> {
  await waitFor({ what: `${service} on every host`, timeoutMs: SERVICES_TIMEOUT_MS, signal }, async () => {
    const statuses = await Promise.all(hosts.map((host) => hostStatus(place, host)));
    const dead = statuses.find((status) => status.power === 'off');
    if (dead !== undefined) throw new AppError('component', 'a host died while booting', { host: dead.name });
    const found = statuses.flatMap((status) => status.services).filter((status) => status.name === service);
    return found.every((status) => status.ready) ? true : undefined;
  });
  step(`${service} answers`);
}

/**
 * Takes down whatever there is of this lab, known or left over from a crash. Hosts' data goes too unless `keepData`; the cache stays.
 * Nothing there is fine.
 */
export async function down(place: LabPlace, options: { keepData: boolean }, signal: AbortSignal): Promise<void> {
  await withLock(place, signal, () => takeDown(place, options));
}

async function takeDown(place: LabPlace, options: { keepData: boolean }): Promise<void> {
  const state = await readState(place);
  if (state !== undefined) await Promise.all(labHosts(place, state.nodes).map((host) => powerOff(place, host)));
  await closeDoor(place);
  for (const name of await labNamespaces(place)) await removeNamespace(name);
  await detachLoopDevices(place);
  if (options.keepData) return;
  for (const entry of ['hosts', 'app', 'lab.json', 'proxy.log', 'daemon_ed25519', 'daemon_ed25519.pub', CEPH_KEYS_FILE, 'ceph-workshop']) {
    await rm(path.join(place.directory, entry), { recursive: true, force: true });
  }
}

export interface LabStatus {
  apiOpen: boolean;
  hosts: HostStatus[];
}

export async function labStatus(place: LabPlace, state: LabState): Promise<LabStatus> {
  const hosts = await Promise.all(labHosts(place, state.nodes).map((host) => hostStatus(place, host)));
  return { apiOpen: await isOpen(place), hosts };
}

/** @throws AppError 'state' when the lab is not up. */
export async function requireState(place: LabPlace): Promise<LabState> {
  const state = await readState(place);
  if (state === undefined) throw new AppError('state', 'the lab is not up: npm run lab', { directory: place.directory });
  return state;
}

