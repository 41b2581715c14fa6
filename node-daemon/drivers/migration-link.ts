import { chmod, chown, mkdir, readdir, rm, stat } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { AppError, describeError } from '../../common/errors.ts';
import { randomToken } from '../../common/ids.ts';
import type { SshLink } from '../../common/libvirt/ssh-link.ts';
import type { Logger } from '../../common/log.ts';

/** Sockets whose other end is a peer's libvirt, which is root there: ours alone. */
const CONTROL_DIR = '/run/pvc/libvirt';

/** Sockets of the guests' memory; the same path on both hosts, since libvirt gives both sides one URI. */
const MEMORY_DIR = '/run/libvirt/pvc';

/** QEMU's AppArmor profile lets a guest make a socket of this name anywhere below /run/libvirt (libvirt's virt-aa-helper.c). */
const MEMORY_SOCKET_INFIX = '.tunnelmigrate.dest.';

/** libvirtd gives this folder to the user that QEMU runs as when it starts (qemu_driver.c, qemuStateInitialize). */
const QEMU_STATE_DIR = '/var/lib/libvirt/qemu';

/** Short, since a socket's path has at most 107 characters (unix(7)) and a VM's name takes 63; the name makes it unique for others. */
const TOKEN_BYTES = 3;

const SOCKET_PATH_MAX_BYTES = 107;

export interface MigrationLinkDeps {
  /** Where this host's file system is seen, empty unless the daemon runs outside of it. */
  hostRoot: string;
  log: Logger;
}

/** Makes the folders of both kinds of sockets. Safe to call again; libvirt's folder may have been made anew meanwhile. */
export async function prepareMigrationFolders(hostRoot: string): Promise<void> {
  await mkdir(hostRoot + CONTROL_DIR, { recursive: true, mode: 0o700 });
  await chmod(hostRoot + CONTROL_DIR, 0o700);
  const memoryDir = hostRoot + MEMORY_DIR;
  await mkdir(memoryDir, { recursive: true, mode: 0o700 });
  const { uid, gid } = await stat(hostRoot + QEMU_STATE_DIR);
  await chown(memoryDir, 0, gid);
  // QEMU makes its own sockets here and can neither see nor replace those of others.
  await chmod(memoryDir, uid === 0 ? 0o700 : 0o1730);
}

/** Names of the domains that have memory sockets here, with their files. */
export async function findMemorySockets(hostRoot: string): Promise<ReadonlyMap<string, readonly string[]>> {
  const found = new Map<string, string[]>();
  for (const file of await readdir(hostRoot + MEMORY_DIR)) {
    const name = file.split(MEMORY_SOCKET_INFIX)[1];
    if (name !== undefined) found.set(name, [...(found.get(name) ?? []), `${hostRoot}${MEMORY_DIR}/${file}`]);
  }
  return found;
}

/** Removes what an earlier daemon left of its control sockets. */
export async function removeControlSockets(hostRoot: string): Promise<void> {
  for (const file of await readdir(hostRoot + CONTROL_DIR)) await rm(`${hostRoot}${CONTROL_DIR}/${file}`, { force: true });
}

export interface LinkTarget {
  ssh: SshLink;
  /** The libvirt socket of the peer. */
  libvirtSocket: string;
  domainName: string;
}

/**
 * Two Unix sockets of this host that lead to a peer over its ssh connection, for one migration: one to its libvirt, one to the socket that the
 * receiving QEMU listens on. Nothing listens on the network.
 */
export class MigrationLink {
  readonly #deps: MigrationLinkDeps;
  readonly #target: LinkTarget;
  readonly #controlPath: string;
  readonly #memoryPath: string;
  readonly #servers: Server[] = [];
  readonly #streams = new Set<Duplex>();

  constructor(deps: MigrationLinkDeps, target: LinkTarget) {
    const token = randomToken(TOKEN_BYTES);
    this.#deps = deps;
    this.#target = target;
    this.#controlPath = `${CONTROL_DIR}/${token}`;
    this.#memoryPath = `${MEMORY_DIR}/${token}${MEMORY_SOCKET_INFIX}${target.domainName}`;
  }

  /** URI of the peer's libvirt, for the libvirt of this host. */
  get controlUri(): string {
    return `qemu+unix:///system?socket=${this.#controlPath}`;
  }

  /** For QEMU on both sides. */
  get memoryUri(): string {
    return `unix://${this.#memoryPath}`;
  }

  /** The file of the memory socket as the daemon sees it. */
  get memoryFile(): string {
    return this.#deps.hostRoot + this.#memoryPath;
  }

  async start(): Promise<void> {
    await prepareMigrationFolders(this.#deps.hostRoot);
    await this.#listen(this.#controlPath, this.#target.libvirtSocket);
    await this.#listen(this.#memoryPath, this.#memoryPath);
  }

  /** Ends both, with everything that flows; a migration that is still under way fails. */
  async stop(): Promise<void> {
    for (const stream of this.#streams) stream.destroy();
    await Promise.all(this.#servers.splice(0).map((server) => new Promise<void>((resolve) => server.close(() => resolve()))));
    await rm(this.#deps.hostRoot + this.#controlPath, { force: true });
    await rm(this.memoryFile, { force: true });
  }

  async #listen(localPath: string, remotePath: string): Promise<void> {
    const path = this.#deps.hostRoot + localPath;
    if (Buffer.byteLength(path) > SOCKET_PATH_MAX_BYTES) throw new AppError('invalid', 'the path of the socket is too long', { path });
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => void this.#forward(socket, remotePath));
    this.#servers.push(server);
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => reject(new AppError('component', 'the socket for the migration cannot be made', { path }, { cause: error })));
      server.listen({ path }, resolve);
    });
  }

  async #forward(socket: Socket, remotePath: string): Promise<void> {
    this.#keep(socket);
    try {
      const channel = await this.#target.ssh.openSocket(remotePath);
      this.#keep(channel);
      if (socket.destroyed) channel.destroy();
      join(socket, channel);
    } catch (error) {
      this.#deps.log.warn({ remotePath, reason: describeError(error) }, 'a migration stream could not be forwarded');
      socket.destroy();
    }
  }

  #keep(stream: Duplex): void {
    this.#streams.add(stream);
    stream.on('error', () => stream.destroy());
    stream.on('close', () => this.#streams.delete(stream));
  }
}

/** Joins two streams both ways; each direction may end by itself, a broken one ends both. */
function join(socket: Socket, channel: Duplex): void {
  socket.on('close', () => channel.destroy());
  channel.on('close', () => socket.destroy());
  socket.pipe(channel);
  channel.pipe(socket);
  socket.resume();
}
