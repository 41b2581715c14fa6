import { MessageChannel } from 'node:worker_threads';
import { systemClock } from '../common/clock.ts';
import { EXIT_CONFIG, loadConfig } from '../common/config.ts';
import { describeError, isAppError, toAppError, type AppError } from '../common/errors.ts';
import { createLogger, type Logger } from '../common/log.ts';
import { run } from '../common/process.ts';
import { SdNotify } from '../common/sd-notify.ts';
import { ZooKeeperStore } from '../common/store/zookeeper-store.ts';
import { PVC_VERSION } from '../common/version.ts';
import { composeApi } from './compose.ts';
import { apiConfig, type ApiConfig } from './config.ts';

const DEFAULT_FILE = '/etc/pvc/pvc-api.yaml';
const ZOOKEEPER_PORT = 2181;

/** Runs the API until it is told to stop. @returns the exit code. */
async function main(): Promise<number> {
  const file = process.env['PVC_CONFIG_FILE'] ?? DEFAULT_FILE;
  const config = await configOrFaults(file);
  if (config === undefined) return EXIT_CONFIG;
  const log = createLogger('pvc-api', config.pvc.debug ? 'debug' : 'info');
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop.abort());
  try {
    return await serve(config, log, stop.signal);
  } catch (error) {
    const failure = toAppError(error);
    if (failure.code === 'cancelled' && stop.signal.aborted) return 0;
    log.error({ error: describeError(failure), cause: failure.cause }, 'the API cannot go on');
    return isConfigFault(failure) ? EXIT_CONFIG : 1;
  }
}

async function configOrFaults(file: string): Promise<ApiConfig | undefined> {
  try {
    return await loadConfig(file, apiConfig);
  } catch (error) {
    if (!isAppError(error, 'invalid')) throw error;
    process.stderr.write(`${file}: ${error.message}\n${faultsOf(error).map((fault) => `  ${fault}\n`).join('')}`);
    return undefined;
  }
}

function faultsOf(error: AppError): string[] {
  const { faults } = error.details;
  return Array.isArray(faults) ? faults.map(String) : [];
}

function isConfigFault(error: AppError): boolean {
  return error.code === 'invalid' && faultsOf(error).length > 0;
}

async function serve(config: ApiConfig, log: Logger, signal: AbortSignal): Promise<number> {
  const store = new ZooKeeperStore({
    hosts: config.pvc.coordinators.map((host) => (/:\d+$/u.test(host) ? host : `${host}:${ZOOKEEPER_PORT}`)),
    sessionTimeoutMs: config.pvc.zookeeper_session_timeout_s * 1_000,
    clock: systemClock,
    log,
  });
  const api = composeApi({ config, store, clock: systemClock, log });
  const notify = new SdNotify({ env: process.env, run, clock: systemClock, log, alive: () => true });
  try {
    log.info({ version: PVC_VERSION, coordinators: config.pvc.coordinators }, 'API starts');
    await store.start(signal);
    await api.start(signal);
    notify.start();
    await notify.send('ready');
    await aborted(signal);
    log.info({}, 'API stops');
    await notify.send('stopping');
    return 0;
  } finally {
    notify.stop();
    await api.stop();
    await store.stop();
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** Clock's timers do not keep the process alive, and between two tries to reach ZooKeeper nothing else would. */
const hold = new MessageChannel().port1;
hold.on('message', () => undefined);
process.exit(await main());
