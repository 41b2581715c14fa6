import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { systemClock, withTimeout } from '../../common/clock.ts';
import type { CephAccess } from '../../common/config.ts';
import { randomToken } from '../../common/ids.ts';
import { until } from '../support/until.ts';
import { BenchClient } from './http-client.ts';

/** Loading 10,000 VMs on a busy machine. */
const READY_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 10_000;

/** As in systemd/pvc-api.service. */
const UNIT_ENV = { NODE_ENV: 'production', MALLOC_TRIM_THRESHOLD_: '131072' };

/** The API as its own process, as it is shipped: compiled, configured by a file, with authentication. */
export class ApiProcess {
  readonly client: BenchClient;
  readonly url: string;
  readonly token: string;
  readonly #child: ChildProcess;

  constructor(child: ChildProcess, { url, token }: { url: string; token: string }) {
    this.#child = child;
    this.url = url;
    this.token = token;
    this.client = new BenchClient(url, token);
  }

  /** Resident memory in MiB: now, and at its highest. */
  async memoryMib(): Promise<{ now: number; peak: number }> {
    const status = await readFile(`/proc/${this.#child.pid}/status`, 'utf8');
    const kib = (key: string): number => Number(new RegExp(`^${key}:\\s+(\\d+) kB$`, 'mu').exec(status)?.[1]);
    return { now: kib('VmRSS') / 1_024, peak: kib('VmHWM') / 1_024 };
  }

  async stop(): Promise<void> {
    this.client.close();
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    try {
      await withTimeout(systemClock, { timeoutMs: STOP_LIMIT_MS, what: 'end of the API' }, () => exited);
    } catch (error) {
      this.#child.kill('SIGKILL');
      throw error;
    }
  }
}

/**
 * Starts the API over `zookeeper` (host:port) and resolves when it answers. Its log goes to a file in `folder`.
 * @param ceph of its storage; without it there is none.
 */
export async function startApi(folder: string, zookeeper: string, ceph?: CephAccess): Promise<ApiProcess> {
  const port = await freePort();
  const token = randomToken(32);
  const configFile = join(folder, 'pvc-api.yaml');
  await writeFile(configFile, configText({ zookeeper, port, token, ceph }), { mode: 0o600 });
  const log = openSync(join(folder, 'pvc-api.log'), 'a');
  const program = fileURLToPath(new URL('../../daemons/pvc-api.js', import.meta.url));
  const child = spawn(process.execPath, [program], {
    stdio: ['ignore', log, log],
    env: { ...process.env, ...UNIT_ENV, PVC_CONFIG_FILE: configFile },
  });
  closeSync(log);
  const api = new ApiProcess(child, { url: `http://127.0.0.1:${port}`, token });
  try {
    await until(() => answers(api, child, folder), READY_LIMIT_MS, 'answer of the API');
    return api;
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
}

async function answers(api: ApiProcess, child: ChildProcess, folder: string): Promise<boolean> {
  if (child.exitCode !== null) throw new Error(`the API ended with ${child.exitCode}: ${(await readFile(join(folder, 'pvc-api.log'), 'utf8')).slice(-1_000)}`);
  try {
    return (await api.client.get('/api/v1/node')).status === 200;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ECONNREFUSED') return false;
    throw error;
  }
}

function configText({ zookeeper, port, token, ceph }: { zookeeper: string; port: number; token: string; ceph: CephAccess | undefined }): string {
  return stringify({
    pvc: {
      debug: false,
      coordinators: [zookeeper],
      zookeeper_session_timeout_s: 30,
      enable_storage: ceph !== undefined,
      ...(ceph === undefined ? {} : { ceph }),
      api: {
        listen_address: '127.0.0.1',
        listen_port: port,
        authentication: { enabled: true, secret_key: randomToken(32), tokens: [{ description: 'bench', token }] },
        ssl: { enabled: false },
      },
    },
  });
}

/** A port that was free a moment ago; the API cannot be told to choose one itself. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
