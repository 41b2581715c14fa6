import { join } from 'node:path';
import { z } from 'zod';
import { isAppError } from '../../../common/errors.ts';
import type { Logger } from '../../../common/log.ts';
import { aZooKeeper, ask, putNode, put, startApi, type Answer, type AskOptions, type TestApi } from '../../contract/api-support.ts';
import { aDomainXml } from '../../support/builders.ts';
import { startCephCluster, type CephCluster, type CephClusterOptions } from '../../support/ceph-cluster.ts';

/** A real Ceph, and the API over it. */
export interface StorageScene {
  ceph: CephCluster;
  api: TestApi;
  /** A request below /storage/ceph. */
  ask(path: string, options?: AskOptions): Promise<Answer>;
  /** A command that must succeed; its message. */
  command(path: string, options: AskOptions): Promise<string>;
  /** Standard output of a program of Ceph's, as JSON. */
  json(...command: string[]): Promise<any>; // eslint-disable-line @typescript-eslint/no-explicit-any -- what Ceph prints
  stop(): Promise<void>;
}

export async function startScene(options: CephClusterOptions & { log?: Logger; operationTimeoutS?: number }): Promise<StorageScene> {
  const ceph = await startCephCluster(options);
  try {
    const limit = options.operationTimeoutS === undefined ? {} : { operation_timeout_s: options.operationTimeoutS };
    const access = { config_file: ceph.configFile, client: 'client.pvc', keyring_file: await ownKeyring(ceph), ...limit };
    const api = await startApi({ zookeeper: aZooKeeper(), ceph: access, ...(options.log === undefined ? {} : { log: options.log }) });
    return sceneOf(ceph, api);
  } catch (error) {
    await ceph.stop();
    throw error;
  }
}

/** The API's own user, with no more rights than docs/storage.md gives it. */
async function ownKeyring(ceph: CephCluster): Promise<string> {
  const file = join(ceph.folder, 'client.pvc.keyring');
  const mgr = 'profile rbd, allow r, allow command "osd destroy", allow command "osd purge"';
  await ceph.exec(['ceph', 'auth', 'get-or-create', 'client.pvc', 'mon', 'profile rbd, allow r, allow service osd rw', 'mgr', mgr, 'osd', 'profile rbd', '-o', file]);
  return file;
}

async function sceneOf(ceph: CephCluster, api: TestApi): Promise<StorageScene> {
  await putNode(api, 'hv1', { coordinatorState: 'primary' });
  await put(api, 'lease', 'primary', { node: 'hv1', instance: 'hv1-1' });
  const asked = (path: string, options?: AskOptions): Promise<Answer> => ask(api.base, `/storage/ceph${path}`, options);
  return {
    ceph,
    api,
    ask: asked,
    command: async (path, options) => {
      const answer = await asked(path, { method: 'POST', ...options });
      if (answer.code !== 200) throw new Error(`${answer.code}: ${answer.text}`);
      return z.object({ message: z.string() }).parse(answer.body).message;
    },
    json: async (...command) => JSON.parse(await ceph.exec([...command, '--format', 'json'])) as unknown,
    stop: async () => {
      await api.stop();
      await ceph.stop();
    },
  };
}

/** Names of the images of a pool, as rbd has them. */
export async function imageNames(scene: StorageScene, pool: string): Promise<string[]> {
  return ((await scene.json('rbd', 'ls', pool)) as string[]).sort();
}

/** A definition with these volumes as disks. */
export function xmlWithDisks(name: string, uuid: string, ...volumes: string[]): string {
  const disk = (volume: string, at: number): string => `<disk type="network"><source protocol="rbd" name="${volume}"/><target dev="vd${'abcdef'[at] ?? ''}" bus="virtio"/></disk>`;
  return aDomainXml({ name, uuid, devices: volumes.map(disk).join('') });
}

/** What a program of Ceph's said when it failed; undefined when it succeeded. */
export async function failureOf(work: Promise<unknown>): Promise<string | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    if (!isAppError(error, 'component')) throw error;
    return String(error.details['stderr']);
  }
}
