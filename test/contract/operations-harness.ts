import { systemClock } from '../../common/clock.ts';
import { AppError, isAppError, type ErrorCode } from '../../common/errors.ts';
import { silentLogger } from '../../common/log.ts';
import { createMirror, type Mirror } from '../../common/mirror/mirror.ts';
import { nodeOperations, type NodeOperations } from '../../common/operations/node.ts';
import { OccupancyLedger } from '../../common/operations/occupancy-ledger.ts';
import { vmOperations, type VmOperations } from '../../common/operations/vm.ts';
import { MIRRORED, pathOf, RESOURCES, type Doc, type Kind, type MirroredKind } from '../../common/schema/resources.ts';
import type { Store } from '../../common/store/store.ts';
import { aNode, type NodeGiven } from '../support/builders.ts';

/** An ensemble without documents. */
export interface OperationsFixture {
  /** A store that is started. */
  store(name: string): Promise<Store>;
  stop(): Promise<void>;
}

/** One process: its session, its mirror and its operations. */
export interface Client {
  store: Store;
  lossy: LossyStore;
  mirror: Mirror<typeof RESOURCES, MirroredKind>;
  vms: VmOperations;
  nodes: NodeOperations;
}

export const LIMIT_MS = 10_000;
const never = new AbortController().signal;

export type Loss = 'done' | 'not-done' | 'answered';

/** Loses the answers to writes as told, one entry for each write. */
export class LossyStore {
  readonly losses: Loss[] = [];
  readonly store: Store;

  constructor(store: Store) {
    const write = async <T>(work: () => Promise<T>): Promise<T> => {
      const loss = this.losses.shift() ?? 'answered';
      const result = loss === 'not-done' ? undefined : await work();
      if (loss !== 'answered' || result === undefined) throw new AppError('unknown-outcome', 'the answer was lost');
      return result;
    };
    this.store = {
      start: (signal) => store.start(signal),
      stop: () => store.stop(),
      get state() {
        return store.state;
      },
      read: (path, options) => store.read(path, options),
      list: (path, options) => store.list(path, options),
      create: (path, value, options) => write(() => store.create(path, value, options)),
      update: (path, value, version) => write(() => store.update(path, value, version)),
      remove: async (path, version) => void (await write(async () => (await store.remove(path, version), true))),
      sync: () => store.sync(),
      listen: (listener) => store.listen(listener),
    };
  }
}

export class Cluster {
  readonly #fixture: OperationsFixture;
  readonly #cleanups: (() => Promise<void>)[] = [];

  constructor(fixture: OperationsFixture) {
    this.#fixture = fixture;
  }

  async client(name = 'a'): Promise<Client> {
    const lossy = new LossyStore(await this.#fixture.store(name));
    const { store } = lossy;
    const mirror = createMirror({ store, table: RESOURCES, kinds: MIRRORED, clock: systemClock, log: silentLogger });
    await mirror.start(never);
    this.#cleanups.push(() => mirror.stop(), () => store.stop());
    const occupancy = new OccupancyLedger(mirror);
    occupancy.start();
    const context = { store, mirror, occupancy, clock: systemClock, placement: { selector: 'mem', reserveMib: 512 } } as const;
    return { store, lossy, mirror, vms: vmOperations(context), nodes: nodeOperations(context) };
  }

  async stop(): Promise<void> {
    for (const cleanup of this.#cleanups.splice(0)) await cleanup();
    await this.#fixture.stop();
  }
}

/** Puts a document into the store as its own writer would, and waits until the client's mirror has it if it is mirrored. */
export async function put<K extends Kind>(client: Client, kind: K, id: string, doc: Doc<K>): Promise<void> {
  const path = pathOf(kind, id);
  const present = await client.store.read(path);
  const entry = present === undefined ? await client.store.create(path, doc) : await client.store.update(path, doc, present.version);
  if (isMirrored(kind)) await client.mirror.waitFor(kind, id, entry.version, { timeoutMs: LIMIT_MS });
}

function isMirrored(kind: Kind): kind is MirroredKind {
  return (MIRRORED as readonly Kind[]).includes(kind);
}

export async function putNode(client: Client, name: string, given: NodeGiven & { alive?: boolean } = {}): Promise<void> {
  const node = aNode(name, given);
  await put(client, 'node', name, node.spec);
  await put(client, 'node-status', name, node.status);
  if (given.alive !== false) await put(client, 'presence', name, node.presence);
}

export async function threeNodes(client: Client): Promise<void> {
  for (const name of ['hv1', 'hv2', 'hv3']) await putNode(client, name);
}

export async function take(client: Client, kind: Kind, id: string): Promise<void> {
  const entry = await client.store.read(pathOf(kind, id));
  if (entry !== undefined) await client.store.remove(entry.path, entry.version);
}

export async function codeOf(call: Promise<unknown>): Promise<ErrorCode | 'done'> {
  try {
    await call;
    return 'done';
  } catch (error) {
    if (isAppError(error)) return error.code;
    throw error;
  }
}

/** Names in the index, and the VMs with their names, as the store has them. */
export async function stored(client: Client): Promise<{ index: Record<string, unknown>; vms: Record<string, unknown> }> {
  await client.store.sync();
  const read = async (kind: Kind, field: string): Promise<Record<string, unknown>> => {
    const ids = await client.store.list(RESOURCES[kind].root);
    const entries = await Promise.all(ids.map(async (id) => [id, ((await client.store.read(pathOf(kind, id)))?.value as Record<string, unknown>)[field]] as const));
    return Object.fromEntries(entries);
  };
  return { index: await read('vm-name', 'uuid'), vms: await read('vm', 'name') };
}
