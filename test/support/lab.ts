import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdtemp, readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { callApi, apiUrl, type ApiReply } from '../../lab/api-client.ts';
import { labApp } from '../../lab/app.ts';
import { labStatus, requireState, type LabStatus } from '../../lab/cluster.ts';
import { guestCeph } from '../../lab/ceph-config.ts';
import { cachedImage } from '../../lab/guest-image.ts';
import { guestXml } from '../../lab/guest.ts';
import { execInside, hostRoot, powerOff, powerOn } from '../../lab/host.ts';
import { cut, heal } from '../../lab/network.ts';
import { findHost, labPlace, type LabHost, type LabPlace, type LabState } from '../../lab/state.ts';

export interface LabOptions {
  nodes: number;
  /** Without the project's daemons: ZooKeeper, libvirt and sshd only. */
  bare?: boolean;
  /** With Ceph. */
  storage?: boolean;
}

export interface GuestParts {
  memoryMib?: number;
  /** VNIs, one network card each. */
  networks?: number[];
  /** POOL/VOLUME, one disk each. */
  disks?: string[];
}

/** A lab of the test's own: own folder, own namespaces, own API port. Goes down by itself when this process dies. */
export interface Lab {
  readonly url: string;
  readonly token: string;
  readonly place: LabPlace;
  readonly state: LabState;
  /** Runs a command inside a host; its standard output. A failure is an AppError 'component'. */
  exec(host: string, command: readonly string[], timeoutMs?: number): Promise<string>;
  /** The host's file system as seen from here. */
  root(host: string): Promise<string>;
  power(host: string, state: 'off' | 'on' | 'reset'): Promise<void>;
  cut(host: string): Promise<void>;
  heal(host: string): Promise<void>;
  status(): Promise<LabStatus>;
  /** Sends a signal to a service's process, SIGKILL for a crash. */
  signalService(host: string, service: string, signal: NodeJS.Signals): Promise<void>;
  /** 'leader' or 'follower' while the host's ZooKeeper serves, else undefined. */
  zookeeperMode(host: string): Promise<string | undefined>;
  /** The log of a service so far, empty when it has none. */
  logs(host: string, service: string): Promise<string>;
  guestXml(name: string, options?: GuestParts): string;
  /** One API call with the token; values go into the query for GET and into a form otherwise. */
  call(method: string, path: string, values?: Record<string, string>): Promise<ApiReply>;
  stop(): Promise<void>;
}

/** From this file, which runs as source or, for the benches, compiled. */
const MAIN = import.meta.filename.endsWith('.ts') ? '../../dist/lab/main.js' : '../../lab/main.js';
const EXEC_TIMEOUT_MS = 60_000;

/** @throws Error with all that the lab said when it does not come up. */
export async function startLab(options: LabOptions): Promise<Lab> {
  const directory = await mkdtemp(path.join(tmpdir(), 'pvc-lab-'));
  const holder = await holdLab(directory, options);
  const place = placeOf(directory);
  return new RunningLab(place, await requireState(place), holder);
}

export interface Holder {
  process: ChildProcessByStdio<Writable, Readable, Readable>;
  /** Closes its standard input and waits for its end: the lab is down then. */
  release(): Promise<void>;
}

/** Starts the process that holds a lab up for as long as its standard input is open, and waits until it is up. */
async function holdLab(directory: string, options: LabOptions): Promise<Holder> {
  const main = path.resolve(import.meta.dirname, MAIN);
  await access(main).catch(() => {
    throw new Error(`${main} is missing: npm run build`);
  });
  const args = [main, 'hold', '--nodes', String(options.nodes), '--port', String(await freePort()), ...(options.bare === true ? ['--bare'] : []), ...(options.storage === true ? [] : ['--no-storage'])];
  const child = spawn(process.execPath, ['--enable-source-maps', ...args], {
    // A session of its own: an interrupt of the terminal must reach it as the end of its input, not as a signal.
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...labEnv(directory) },
  });
  const said: string[] = [];
  child.stderr.on('data', (chunk: Buffer) => said.push(chunk.toString('utf8')));
  const exited = once(child, 'exit');
  const up = once(createInterface({ input: child.stdout }), 'line').then(() => true);
  if (!(await Promise.race([up, exited.then(() => false)]))) throw new Error(`the lab did not come up:\n${said.join('')}`);
  const release = async (): Promise<void> => {
    child.stdin.end();
    await exited;
    if (child.exitCode !== 0) throw new Error(`the lab did not go down:\n${said.join('')}`);
  };
  return { process: child, release };
}

/** The environment of the lab's command line for a lab in `directory`; the guest's image is shared with all labs. */
export function labEnv(directory: string): { PVC_LAB_DIR: string; PVC_LAB_CACHE: string } {
  return { PVC_LAB_DIR: directory, PVC_LAB_CACHE: process.env['PVC_LAB_CACHE'] ?? labPlace({}).cache };
}

export function placeOf(directory: string): LabPlace {
  return labPlace(labEnv(directory));
}

/** A TCP port on 127.0.0.1 that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

class RunningLab implements Lab {
  readonly place: LabPlace;
  readonly state: LabState;
  readonly #holder: Holder;
  #stopped: Promise<void> | undefined;

  constructor(place: LabPlace, state: LabState, holder: Holder) {
    this.place = place;
    this.state = state;
    this.#holder = holder;
  }

  get url(): string {
    return apiUrl(this.state);
  }

  get token(): string {
    return this.state.token;
  }

  #host(name: string): LabHost {
    return findHost(this.place, this.state, name);
  }

  async exec(host: string, command: readonly string[], timeoutMs = EXEC_TIMEOUT_MS): Promise<string> {
    return (await execInside(this.#host(host), command, timeoutMs)).stdout;
  }

  async root(host: string): Promise<string> {
    return hostRoot(this.#host(host));
  }

  async power(host: string, state: 'off' | 'on' | 'reset'): Promise<void> {
    if (state !== 'on') await powerOff(this.place, this.#host(host));
    if (state !== 'off') await powerOn(this.place, this.#host(host), labApp(this.place), new AbortController().signal);
  }

  async cut(host: string): Promise<void> {
    await cut(this.place, this.#host(host));
  }

  async heal(host: string): Promise<void> {
    await heal(this.place, this.#host(host));
  }

  async status(): Promise<LabStatus> {
    return labStatus(this.place, this.state);
  }

  async signalService(host: string, service: string, signal: NodeJS.Signals): Promise<void> {
    const status = (await this.status()).hosts.find((candidate) => candidate.name === host);
    const pid = status?.services.find((candidate) => candidate.name === service)?.pid;
    if (pid === undefined || pid === null) throw new Error(`${service} does not run on ${host}`);
    await this.exec(host, ['kill', '-s', signal.slice('SIG'.length), String(pid)]);
  }

  async zookeeperMode(host: string): Promise<string | undefined> {
    const text = await this.exec(host, ['sh', '-c', 'echo srvr | busybox nc -w 2 "$(hostname -I | cut -d" " -f1)" 2181']).catch(() => '');
    return /^Mode: (\w+)/mu.exec(text)?.[1];
  }

  async logs(host: string, service: string): Promise<string> {
    return readFile(path.join(this.#host(host).folder, 'log', `${service}.log`), 'utf8').catch(() => '');
  }

  guestXml(name: string, options: GuestParts = {}): string {
    const { memoryMib = 128, networks = [], disks = [] } = options;
    return guestXml(cachedImage(this.place.cache), { name, memoryMib, accel: this.state.accel, networks, disks, ceph: guestCeph(this.place, this.state) });
  }

  async call(method: string, apiPath: string, values: Record<string, string> = {}): Promise<ApiReply> {
    return callApi(this.state, method, apiPath, values);
  }

  async stop(): Promise<void> {
    this.#stopped ??= this.#holder.release();
    await this.#stopped;
  }
}
