import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes, randomInt, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { access, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { run, type Command } from '../../common/process.ts';
import { Rados } from '../../common/rados/rados.ts';
import { pauseProcess } from './pause-process.ts';
import { until } from './until.ts';

const PROGRAMS = ['/usr/bin/ceph-mon', '/usr/bin/ceph-mgr', '/usr/bin/ceph-osd', '/usr/bin/ceph', '/usr/bin/rbd', '/usr/bin/setpriv'];

/** Lets the kernel kill a daemon when the test process is gone, however it ended: an aborted process runs no exit handler. */
const WITH_PARENT = ['--pdeathsig', 'KILL', '--'] as const;

const FOLDER_PREFIX = 'pvc-ceph-';
const COMMAND_LIMIT_MS = 60_000;
/** From nothing to clean placement groups; 4 s on an idle machine. */
const READY_LIMIT_MS = 90_000;

/** Until an OSD is reported by the others. Four fifths of it are also how long a placement group may be read without a new lease. */
const HEARTBEAT_GRACE_S = 5;
/** An OSD alone is reported by nobody; an expired lease can leave the placement groups of one copy laggy for good (ceph-container issue 1682). */
const LONE_HEARTBEAT_GRACE_S = 600;

/** Modules that a manager can do without; the always-on ones stay, or the cluster would be in HEALTH_ERR. */
const MGR_MODULES_OFF = 'restful,nfs,iostat,prometheus,zabbix,influx,telegraf,insights,alerts,snap_schedule,stats,mirroring,localpool,osd_perf_query,osd_support,selftest,test_orchestrator';

export interface CephClusterOptions {
  /** Number of OSDs; a pool has as many copies, at most three. */
  osds: number;
  /** Pools for RBD, made before the cluster is handed out. */
  pools?: readonly string[];
  /** Lines more for the [global] section of ceph.conf. */
  settings?: readonly string[];
}

/** One daemon; its signals go to the recorded process. */
export interface CephDaemon {
  readonly name: string;
  readonly pid: number;
  /** Stops the process without ending it, as a hung machine would. */
  pause(): void;
  resume(): void;
  kill(): Promise<void>;
  /** Starts it again after `kill`, from its data. */
  start(): void;
}

/** A real Ceph of the test's own. */
export interface CephCluster {
  readonly folder: string;
  readonly configFile: string;
  /** Of client.admin. */
  readonly keyringFile: string;
  readonly fsid: string;
  /** Of the mon, as `v2:ADDRESS:PORT`. */
  readonly monAddress: string;
  readonly mon: CephDaemon;
  readonly mgr: CephDaemon;
  readonly osds: readonly CephDaemon[];
  /** Runs ceph, rbd, rados, or any program that reads CEPH_CONF, as client.admin; its standard output. A failure is an AppError 'component'. */
  exec(command: readonly string[], input?: string): Promise<string>;
  /** Kills every daemon and removes their files. */
  stop(): Promise<void>;
}

/** Why this machine cannot run a Ceph, undefined when it can. In CI nothing may be missing: there the tests run, and fail. */
export function cephMissing(): string | undefined {
  if (process.env['CI'] !== undefined) return undefined;
  return process.getuid?.() === 0 ? PROGRAMS.find((program) => !existsSync(program)) : 'root';
}

/**
 * Starts a mon, a mgr and OSDs on sparse files; resolves when all OSDs are up and all placement groups clean.
 * All listen on one loopback address of their own, so clusters do not meet, and this process and its children reach them.
 */
export async function startCephCluster(options: CephClusterOptions): Promise<CephCluster> {
  await sweepFolders();
  const folder = await mkdtemp(path.join(tmpdir(), `${FOLDER_PREFIX}${process.pid}-`));
  const cluster = new RunningCluster(folder, options);
  try {
    await cluster.start();
  } catch (error) {
    const logs = await cluster.logs();
    await cluster.stop();
    throw new Error(`the Ceph cluster did not start: ${logs}`, { cause: error });
  }
  return cluster;
}

/** Removes the folders of tests that were killed; their processes end by themselves. */
async function sweepFolders(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const owner = new RegExp(`^${FOLDER_PREFIX}(\\d+)-`, 'u').exec(name)?.[1];
    if (owner === undefined) continue;
    const alive = await access(`/proc/${owner}`).then(() => true, () => false);
    if (!alive) await rm(path.join(tmpdir(), name), { recursive: true, force: true });
  }
}

/** Daemons of this test process; killed with it, by their own ids. */
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

class Daemon implements CephDaemon {
  readonly name: string;
  readonly #command: Command;
  readonly #logFile: string;
  #process: ChildProcess | undefined;

  constructor(name: string, command: Command, logFile: string) {
    this.name = name;
    this.#command = command;
    this.#logFile = logFile;
  }

  get pid(): number {
    const pid = this.#process?.pid;
    if (pid === undefined) throw new Error(`${this.name} does not run`);
    return pid;
  }

  start(): void {
    if (this.#process !== undefined) return;
    const log = openSync(this.#logFile, 'a');
    // A locale of its own: the mgr's Python refuses to start with one that is not installed.
    this.#process = spawn('/usr/bin/setpriv', [...WITH_PARENT, ...this.#command], { cwd: '/', stdio: ['ignore', log, log], env: { ...process.env, LC_ALL: 'C.UTF-8' } });
    closeSync(log);
    running.add(this.#process);
    this.#process.once('exit', (code, signal) => this.#reportEnd(code ?? signal));
  }

  /** A daemon that ends by itself makes tests fail far from the cause, so its last words are shown. */
  #reportEnd(how: number | string | null): void {
    if (this.#process === undefined) return;
    console.error(`${this.name} ended by itself (${how}): ${readFileSync(this.#logFile, 'utf8').slice(-4_000)}`);
  }

  pause(): void {
    pauseProcess(this.pid);
  }

  resume(): void {
    process.kill(this.pid, 'SIGCONT');
  }

  async kill(): Promise<void> {
    const child = this.#process;
    if (child === undefined) return;
    this.#process = undefined;
    if (child.exitCode === null && child.signalCode === null) {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    }
    running.delete(child);
  }
}

/** An entry of a keyring with a new key: type 1 (AES), when it was made, and 16 bytes (CryptoKey in Ceph's src/auth/Crypto.cc). */
function keyringEntry(name: string, caps: Readonly<Record<string, string>>): string {
  const head = Buffer.alloc(12);
  head.writeUInt16LE(1, 0);
  head.writeUInt16LE(16, 10);
  const key = Buffer.concat([head, randomBytes(16)]).toString('base64');
  return `[${name}]\n\tkey = ${key}\n${Object.entries(caps).map(([service, cap]) => `\tcaps ${service} = "${cap}"\n`).join('')}`;
}

function listens(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false)).once('connect', () => socket.destroy());
  });
}

class RunningCluster implements CephCluster {
  readonly folder: string;
  readonly configFile: string;
  readonly keyringFile: string;
  readonly fsid = randomUUID();
  readonly monAddress: string;
  readonly mon: Daemon;
  readonly mgr: Daemon;
  readonly osds: readonly Daemon[];
  readonly #options: CephClusterOptions;

  constructor(folder: string, options: CephClusterOptions) {
    this.folder = folder;
    this.#options = options;
    this.configFile = this.#file('ceph.conf');
    this.keyringFile = this.#file('admin.keyring');
    this.monAddress = `v2:127.${randomInt(1, 255)}.${randomInt(256)}.${randomInt(1, 255)}:3300`;
    this.mon = this.#daemon('mon', 'a');
    this.mgr = this.#daemon('mgr', 'a');
    this.osds = Array.from({ length: options.osds }, (_, id) => this.#daemon('osd', String(id)));
  }

  async start(): Promise<void> {
    await writeFile(this.configFile, this.#config());
    await mkdir(this.#file('run'));
    await this.#writeKeys();
    await this.#command(['monmaptool', '--create', '--fsid', this.fsid, '--addv', 'a', `[${this.monAddress}]`, this.#file('monmap')]);
    const uuids = this.osds.map(() => randomUUID());
    const made = uuids.map((uuid, id) => this.#makeOsd(id, uuid));
    try {
      await this.#startMon();
      const rados = await Rados.connect({ configFile: this.configFile });
      try {
        await this.#fill(rados, uuids, made);
      } finally {
        await rados.close();
      }
    } finally {
      await Promise.allSettled(made);
    }
  }

  /** The OSDs' keys are those that the mon was made with. */
  async #fill(rados: Rados, uuids: readonly string[], made: readonly Promise<void>[]): Promise<void> {
    const pools = this.#options.pools ?? [];
    for (const [id, uuid] of uuids.entries()) await rados.monCommand({ prefix: 'osd new', uuid, id });
    for (const pool of pools) {
      await rados.monCommand({ prefix: 'osd pool create', pool, pg_num: 8, pgp_num: 8 });
      await rados.monCommand({ prefix: 'osd pool application enable', pool, app: 'rbd' });
    }
    await Promise.all(made.map(async (making, id) => {
      await making;
      this.osds[id]?.start();
    }));
    await until(() => this.#isClean(rados), READY_LIMIT_MS, 'all placement groups are clean');
  }

  async exec(command: readonly string[], input?: string): Promise<string> {
    return this.#command(command, input);
  }

  async stop(): Promise<void> {
    await Promise.all([this.mon, this.mgr, ...this.osds].map((daemon) => daemon.kill()));
    await rm(this.folder, { recursive: true, force: true });
  }

  /** The end of each daemon's output, for the error of a failed start. */
  async logs(): Promise<string> {
    const daemons = [this.mon, this.mgr, ...this.osds];
    const texts = await Promise.all(daemons.map(({ name }) => readFile(this.#file(`${name}.log`), 'utf8').catch(() => '')));
    return texts.map((text, at) => `${daemons[at]?.name ?? ''}: ${text.slice(-1_000)}`).join('\n');
  }

  #file(name: string): string {
    return path.join(this.folder, name);
  }

  #daemon(kind: 'mon' | 'mgr' | 'osd', id: string): Daemon {
    const name = `${kind}.${id}`;
    return new Daemon(name, [`/usr/bin/ceph-${kind}`, '-f', '-c', this.configFile, '-i', id], this.#file(`${name}.log`));
  }

  async #command(command: readonly string[], input?: string): Promise<string> {
    const [program = '', ...args] = command;
    const options = { timeoutMs: COMMAND_LIMIT_MS, env: { CEPH_CONF: this.configFile }, ...(input === undefined ? {} : { input }) };
    return (await run([program, ...args], options)).stdout;
  }

  /** The mon is made with everybody's key. */
  async #writeKeys(): Promise<void> {
    const admin = keyringEntry('client.admin', { mon: 'allow *', osd: 'allow *', mgr: 'allow *', mds: 'allow *' });
    const mgr = keyringEntry('mgr.a', { mon: 'allow profile mgr', osd: 'allow *', mds: 'allow *' });
    const osds = this.osds.map(({ name }) => keyringEntry(name, { mon: 'allow profile osd', mgr: 'allow profile osd', osd: 'allow *' }));
    await writeFile(this.keyringFile, admin);
    await writeFile(this.#file('mgr.keyring'), mgr);
    for (const [id, entry] of osds.entries()) await writeFile(this.#file(`osd.${id}.keyring`), entry);
    await writeFile(this.#file('mon.keyring'), [keyringEntry('mon.', { mon: 'allow *' }), admin, mgr, ...osds].join(''));
  }

  async #makeOsd(id: number, uuid: string): Promise<void> {
    await mkdir(this.#file(`osd.${id}`));
    await this.#command(['ceph-osd', '--mkfs', '-c', this.configFile, '-i', String(id), '--osd-uuid', uuid, '--monmap', this.#file('monmap'), '--no-mon-config']);
  }

  /** Whoever asks a mon that does not listen yet asks again after seconds. */
  async #startMon(): Promise<void> {
    await this.#command(['ceph-mon', '-c', this.configFile, '--mkfs', '-i', 'a', '--monmap', this.#file('monmap'), '--keyring', this.#file('mon.keyring')]);
    await mkdir(this.#file('mgr.a'));
    this.mon.start();
    const [, host = '', port = ''] = this.monAddress.split(':');
    await until(() => listens(host, Number(port)), READY_LIMIT_MS, 'the mon listens');
    this.mgr.start();
  }

  async #isClean(rados: Rados): Promise<boolean> {
    const [osds, groups] = await Promise.all([rados.monCommand({ prefix: 'osd stat', format: 'json' }), rados.mgrCommand({ prefix: 'pg stat' })]);
    const { num_up_osds: up } = JSON.parse(osds.output.toString()) as { num_up_osds: number };
    const [, count = '0'] = /^(\d+) pgs: \1 active\+clean/u.exec(groups.output.toString()) ?? [];
    // The manager makes a pool of its own when it finds an OSD, with one placement group; that of Debian 13 does not: its modules do not load.
    const wanted = (this.#options.pools?.length ?? 0) * 8 + ((await this.#hasModules(rados)) ? 1 : 0);
    return up === this.osds.length && Number(count) >= wanted;
  }

  async #hasModules(rados: Rados): Promise<boolean> {
    const { output } = await rados.monCommand({ prefix: 'health', format: 'json' });
    const { checks } = JSON.parse(output.toString()) as { checks: Record<string, unknown> };
    return checks['MGR_MODULE_DEPENDENCY'] === undefined;
  }

  #config(): string {
    const size = Math.min(3, this.#options.osds);
    return `[global]
fsid = ${this.fsid}
mon host = [${this.monAddress}]
public addr = ${this.monAddress.split(':')[1] ?? ''}
cluster addr = ${this.monAddress.split(':')[1] ?? ''}
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
auth allow insecure global id reclaim = false
ms bind msgr1 = false
ms async op threads = 2
run dir = ${this.folder}/run
admin socket = ${this.folder}/run/$name.$pid.$cctid.asok
log file = ${this.folder}/$name.ceph.log
crash dir = ${this.folder}/crash
osd pool default size = ${size}
osd pool default min size = ${Math.max(1, size - 1)}
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd heartbeat interval = 1
osd heartbeat grace = ${this.osds.length === 1 ? LONE_HEARTBEAT_GRACE_S : HEARTBEAT_GRACE_S}
mon osd min down reporters = 1
mon osd adjust heartbeat grace = false
mon osd down out interval = 600
mon allow pool delete = true
mon allow pool size one = true
mon warn on pool no redundancy = false
mon data avail warn = 2
mgr stats period = 1
mgr tick period = 1
mon mgr digest period = 1
${(this.#options.settings ?? []).join('\n')}
[mon]
mon data = ${this.folder}/mon.a
rocksdb cache size = 16777216
mon memory autotune = false
paxos propose interval = 0.2
[mgr]
mgr data = ${this.folder}/mgr.a
keyring = ${this.folder}/mgr.keyring
mgr disabled modules = ${MGR_MODULES_OFF}
[osd]
osd data = ${this.folder}/osd.$id
keyring = ${this.folder}/osd.$id.keyring
bluestore block size = 4294967296
bluestore block create = true
bluestore fsck on mkfs = false
bluestore cache autotune = false
bluestore cache size = 33554432
osd op num shards = 2
osd op num threads per shard = 1
osd max pg log entries = 200
osd min pg log entries = 100
[client]
keyring = ${this.folder}/admin.keyring
log file = /dev/null
admin socket =
rbd default features = 61
`;
  }
}
