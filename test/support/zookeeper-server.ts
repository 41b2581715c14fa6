import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import { createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pauseProcess } from './pause-process.ts';
import { until } from './until.ts';

const JARS = ['/usr/share/java/zookeeper.jar', '/usr/share/java/slf4j-simple.jar'];
const JAVA = '/usr/bin/java';

/** Lets the kernel kill the server when the test process is gone, however it ended: an aborted process runs no exit handler. */
const WITH_PARENT = ['/usr/bin/setpriv', '--pdeathsig', 'KILL', '--'] as const;

/** Start of a JVM and an election on a busy machine; 1.1 s on an idle one. */
const READY_LIMIT_MS = 40_000;
const PROBE_LIMIT_MS = 1_000;

/** Where the servers' files and ports are; ports are asked from the kernel, so parallel runs do not meet. */
interface Member {
  readonly id: number;
  readonly folder: string;
  readonly clientPort: number;
  readonly quorumPort: number;
  readonly electionPort: number;
}

/** True when this machine has what a real ensemble needs. */
export function hasZooKeeper(): boolean {
  return [JAVA, WITH_PARENT[0], ...JARS].every((file) => existsSync(file));
}

/** One ZooKeeper process. */
export class ZooKeeperServer {
  readonly host: string;
  readonly id: number;
  readonly #member: Member;
  #process: ChildProcess | undefined;

  constructor(member: Member) {
    this.#member = member;
    this.id = member.id;
    this.host = `127.0.0.1:${member.clientPort}`;
  }

  get port(): number {
    return this.#member.clientPort;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /** Starts the process; it may not serve yet. */
  start(): void {
    if (this.#process !== undefined) return;
    const memory = ['-Xms32m', '-Xmx192m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-XX:MaxMetaspaceSize=64m'];
    const log = '-Dorg.slf4j.simpleLogger.defaultLogLevel=error';
    const main = ['-cp', JARS.join(':'), 'org.apache.zookeeper.server.quorum.QuorumPeerMain', join(this.#member.folder, 'zoo.cfg')];
    const [setpriv, ...options] = WITH_PARENT;
    this.#process = spawn(setpriv, [...options, JAVA, ...memory, log, '-Djute.maxbuffer=1048575', ...main], { stdio: 'ignore' });
    running.add(this.#process);
  }

  /** Kills the process with `signal` and waits for its end. */
  async kill(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    const child = this.#process;
    if (child === undefined) return;
    this.#process = undefined;
    if (child.exitCode === null && child.signalCode === null) {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGCONT');
      child.kill(signal);
      await ended;
    }
    running.delete(child);
  }

  /** Stops the process without ending it, as a hung machine would. */
  pause(): void {
    if (this.#process?.pid !== undefined) pauseProcess(this.#process.pid);
  }

  resume(): void {
    this.#process?.kill('SIGCONT');
  }

  /** Answer to one of ZooKeeper's four letter words; empty while the server does not serve. */
  async ask(word: 'ruok' | 'srvr' | 'cons' | 'wchs' | 'dump'): Promise<string> {
    return new Promise((resolve) => {
      let text = '';
      const socket = createConnection({ host: '127.0.0.1', port: this.port });
      socket.setTimeout(PROBE_LIMIT_MS, () => socket.destroy());
      socket.on('connect', () => socket.write(word));
      socket.on('data', (chunk) => (text += chunk.toString()));
      socket.on('error', () => socket.destroy());
      socket.on('close', () => resolve(text));
    });
  }

  async mode(): Promise<string | undefined> {
    return /^Mode: (\w+)$/mu.exec(await this.ask('srvr'))?.[1];
  }

  async ready(): Promise<void> {
    await until(async () => (await this.mode()) !== undefined, READY_LIMIT_MS, `ZooKeeper ${this.id} serves`);
  }
}

/** Processes of this test process; killed with it, by their own ids. */
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export interface Ensemble {
  readonly servers: readonly ZooKeeperServer[];
  /** Addresses for a client. */
  readonly hosts: readonly string[];
  leader(): Promise<ZooKeeperServer>;
  /** Kills every server and removes their files. */
  stop(): Promise<void>;
}

/**
 * Starts one server, or an ensemble of three, on free loopback ports in a private folder; resolves when it serves.
 * @param maxSessionMs the longest session it grants, in milliseconds, whatever a client asks for.
 */
export async function startZooKeeper(count: 1 | 3 = 1, maxSessionMs = 10_000): Promise<Ensemble> {
  const folder = await mkdtemp(join(tmpdir(), 'zookeeper-'));
  const ports = await freePorts(count * 3);
  const members = Array.from({ length: count }, (_, index): Member => {
    const [clientPort = 0, quorumPort = 0, electionPort = 0] = ports.slice(index * 3);
    return { id: index + 1, folder: join(folder, `s${index + 1}`), clientPort, quorumPort, electionPort };
  });
  for (const member of members) await writeConfig(member, members, maxSessionMs);
  const servers = members.map((member) => new ZooKeeperServer(member));
  const stop = async (): Promise<void> => {
    await Promise.all(servers.map((server) => server.kill()));
    await rm(folder, { recursive: true, force: true });
  };
  try {
    for (const server of servers) server.start();
    await Promise.all(servers.map((server) => server.ready()));
  } catch (error) {
    await stop();
    throw error;
  }
  const leader = async (): Promise<ZooKeeperServer> => {
    for (const server of servers) if (/leader|standalone/u.test((await server.mode()) ?? '')) return server;
    throw new Error('no leader');
  };
  return { servers, hosts: servers.map((server) => server.host), leader, stop };
}

async function writeConfig(member: Member, members: readonly Member[], maxSessionMs: number): Promise<void> {
  await mkdir(member.folder, { recursive: true });
  const quorum = members.map((peer) => `server.${peer.id}=127.0.0.1:${peer.quorumPort}:${peer.electionPort}`);
  const lines = [
    'tickTime=500',
    'initLimit=20',
    'syncLimit=8',
    'minSessionTimeout=1000',
    `maxSessionTimeout=${maxSessionMs}`,
    `dataDir=${member.folder}`,
    `clientPort=${member.clientPort}`,
    'clientPortAddress=127.0.0.1',
    'admin.enableServer=false',
    '4lw.commands.whitelist=*',
    'maxClientCnxns=0',
    // Test data need not survive the machine.
    'forceSync=no',
    ...(members.length > 1 ? quorum : []),
  ];
  await writeFile(join(member.folder, 'myid'), `${member.id}\n`);
  await writeFile(join(member.folder, 'zoo.cfg'), `${lines.join('\n')}\n`);
}

/** Ports that nobody listens on: held open together, so that they differ, and given up just before their use. */
export async function freePorts(count: number): Promise<number[]> {
  const holders = await Promise.all(
    Array.from({ length: count }, async () => {
      const holder = createServer();
      await new Promise<void>((resolve, reject) => {
        holder.once('error', reject);
        holder.listen(0, '127.0.0.1', resolve);
      });
      return holder;
    }),
  );
  const ports = holders.map((holder) => {
    const address = holder.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    return address.port;
  });
  await Promise.all(holders.map((holder) => new Promise((resolve) => holder.close(resolve))));
  return ports;
}
