import { systemClock, type Clock } from '../../common/clock.ts';
import { vmId } from '../../common/ids.ts';
import type { Logger } from '../../common/log.ts';
import { silentLogger } from '../../common/log.ts';
import { API_MIRRORED, pathOf, RESOURCES, type ApiMirroredKind, type Kind } from '../../common/schema/resources.ts';
import { MemoryStore } from '../../common/store/memory-store.ts';
import { MemoryZooKeeper } from '../../common/store/memory-zookeeper.ts';
import type { VmStatus } from '../../common/schema/vm-status.ts';
import { composeApi, type Api } from '../../api/compose.ts';
import { apiConfig } from '../../api/config.ts';
import { aDomainXml, aNode, aStatus, aVm, aVmName, type DomainXmlGiven, type NodeGiven } from '../support/builders.ts';

export const TOKEN = 'a-token-of-the-tests-1';
export const OTHER_TOKEN = 'a-token-of-the-tests-2';

export interface TestApi {
  api: Api;
  store: MemoryStore;
  base: string;
  stop(): Promise<void>;
}

export interface TestApiOptions {
  zookeeper: MemoryZooKeeper;
  clock?: Clock;
  log?: Logger;
  name?: string;
  authentication?: boolean;
  tokens?: { description: string; token: string }[];
  ssl?: { cert_file: string; key_file: string };
  /** A Ceph to have storage in. */
  ceph?: { config_file: string; client: string; keyring_file: string; operation_timeout_s?: number };
}

/** The API as main composes it, on the memory store, on a loopback port of its own. */
export async function startApi(options: TestApiOptions): Promise<TestApi> {
  const clock = options.clock ?? systemClock;
  const store = new MemoryStore({ zookeeper: options.zookeeper, clock, name: options.name ?? 'api' });
  const config = apiConfig.parse({
    pvc: {
      debug: false,
      coordinators: ['127.0.0.1'],
      enable_storage: options.ceph !== undefined,
      ceph: options.ceph ?? {},
      api: {
        listen_address: '127.0.0.1',
        listen_port: 7370,
        authentication: {
          enabled: options.authentication ?? true,
          secret_key: 'a secret key of the tests with 40 letters',
          tokens: options.tokens ?? [
            { description: 'tests', token: TOKEN },
            { description: 'others', token: OTHER_TOKEN },
          ],
        },
        ssl: { enabled: options.ssl !== undefined, ...options.ssl },
      },
    },
  });
  config.pvc.api.listen_port = 0;
  const api = composeApi({ config, store, clock, log: options.log ?? silentLogger });
  const signal = AbortSignal.timeout(20_000);
  await store.start(signal);
  await api.start(signal);
  return {
    api,
    store,
    base: `${options.ssl === undefined ? 'http' : 'https'}://127.0.0.1:${api.port}/api/v1`,
    stop: async () => {
      await api.stop();
      await store.stop();
    },
  };
}

export function aZooKeeper(clock: Clock = systemClock): MemoryZooKeeper {
  return new MemoryZooKeeper({ clock });
}

/** Writes a document, whether it exists or not, and waits until the API knows it. @returns its zxid. */
export async function put({ store, api }: Pick<TestApi, 'store' | 'api'>, kind: Kind, id: string, doc: Record<string, unknown>): Promise<number> {
  const path = pathOf(kind, id);
  const value = RESOURCES[kind].schema.parse(doc);
  const entry = await store.read(path);
  const written = entry === undefined ? await store.create(path, value) : await store.update(path, value, entry.version);
  if (isMirrored(kind)) await api.mirror.waitFor(kind, id, written.version, { timeoutMs: 5_000 });
  return written.modifiedZxid;
}

function isMirrored(kind: Kind): kind is ApiMirroredKind {
  return (API_MIRRORED as readonly Kind[]).includes(kind);
}

export async function drop({ store, api }: Pick<TestApi, 'store' | 'api'>, kind: Kind, id: string): Promise<void> {
  const entry = await store.read(pathOf(kind, id));
  if (entry === undefined) return;
  await store.remove(entry.path, entry.version);
  if (isMirrored(kind)) await api.mirror.waitFor(kind, id, 'gone', { timeoutMs: 5_000 });
}

/** A node at work, with its presence. */
export async function putNode(to: TestApi, name: string, given: NodeGiven & { alive?: boolean } = {}): Promise<void> {
  const node = aNode(name, given);
  await put(to, 'node', name, node.spec);
  await put(to, 'node-status', name, node.status);
  if (given.alive !== false) await put(to, 'presence', name, node.presence);
}

/** Devices of every sort that the API shows. */
const DEVICES = `<interface type="bridge"><mac address="52:54:00:aa:bb:01"/><source bridge="vmbr1001"/><model type="virtio"/></interface>
<disk type="network"><source protocol="rbd" name="vms/web1_sda"/><target dev="sda" bus="scsi"/></disk>
<controller type="scsi" model="virtio-scsi"/><controller type="usb"/><console type="pty"/>`;
const EXTRA = `<description>front end</description><features><acpi/><apic/></features><cpu><topology sockets="1" cores="2" threads="1"/></cpu>`;

/** A definition with something in every field; `fillBytes` makes it longer. */
export function domainXml(name: string, given: DomainXmlGiven & { fillBytes?: number } = {}): string {
  const fill = `<metadata><fill>${'x'.repeat(given.fillBytes ?? 0)}</fill></metadata>`;
  return aDomainXml({ name, uuid: null, vcpus: 2, devices: DEVICES, extra: `${EXTRA}${fill}`, ...given });
}

/** A VM as the operations would have written it. */
export async function putVm(to: TestApi, given: { uuid: string; name: string; node?: string; fillBytes?: number; [more: string]: unknown }): Promise<void> {
  const { uuid, name, fillBytes, ...rest } = given;
  const xml = domainXml(name, { uuid, fillBytes: fillBytes ?? 0 });
  await put(to, 'vm-name', name, { uuid });
  await put(to, 'vm', uuid, { ...aVm({ uuid: vmId.parse(uuid), name: aVmName(name), xml, vcpus: 2 }), ...rest });
}

export async function putVmStatus(to: TestApi, uuid: string, given: Partial<VmStatus> = {}): Promise<void> {
  await put(to, 'vm-status', uuid, aStatus(given));
}

export interface Answer {
  code: number;
  body: any; // eslint-disable-line @typescript-eslint/no-explicit-any -- replies of every shape are looked into
  text: string;
  headers: Headers;
}

export interface AskOptions {
  method?: string;
  query?: Record<string, string> | string;
  form?: Record<string, string> | [string, string][];
  json?: unknown;
  raw?: { type: string; body: string };
  headers?: Record<string, string>;
  /** undefined: the token of the tests; null: none. */
  token?: string | null;
  signal?: AbortSignal;
}

export async function ask(base: string, path: string, options: AskOptions = {}): Promise<Answer> {
  const query = options.query === undefined ? '' : `?${typeof options.query === 'string' ? options.query : new URLSearchParams(options.query).toString()}`;
  const headers: Record<string, string> = { ...options.headers };
  if (options.token !== null) headers['X-Api-Key'] = options.token ?? TOKEN;
  let body: string | undefined;
  if (options.form !== undefined) [headers['Content-Type'], body] = ['application/x-www-form-urlencoded', new URLSearchParams(options.form).toString()];
  if (options.json !== undefined) [headers['Content-Type'], body] = ['application/json', JSON.stringify(options.json)];
  if (options.raw !== undefined) [headers['Content-Type'], body] = [options.raw.type, options.raw.body];
  const method = options.method ?? (body === undefined ? 'GET' : 'POST');
  const response = await fetch(`${base}${path}${query}`, { method, headers, redirect: 'manual', signal: options.signal ?? null, ...(body === undefined ? {} : { body }) });
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.startsWith('application/json') === true;
  return { code: response.status, body: isJson ? JSON.parse(text) : undefined, text, headers: response.headers };
}
