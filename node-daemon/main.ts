import { MessageChannel } from 'node:worker_threads';
import { systemClock } from '../common/clock.ts';
import { EXIT_CONFIG, loadConfig } from '../common/config.ts';
import { describeError, isAppError } from '../common/errors.ts';
import { createLogger, teeTo } from '../common/log.ts';
import { LogTail } from '../common/log-tail.ts';
import { run } from '../common/process.ts';
import { SdNotify } from '../common/sd-notify.ts';
import { nodeConfig, type NodeConfig } from './config.ts';
import { composeHost, releaseThisHost } from './host.ts';

const CONFIG_FILE_DEFAULT = '/etc/pvc/pvcd.yaml';

/** Its state is unknown, or it could not begin: the supervisor starts it again. */
const EXIT_FAILURE = 1;

const EXIT_USAGE = 64;

/** The regular round has a limit for each call to libvirt and the store; a daemon that is silent for longer hangs. */
const SILENT_LIMIT_MS = 120_000;

const USAGE = 'usage: pvcd           run the node daemon\n       pvcd release   remove the floating address from this host\n';

interface Setup {
  file: string;
  log: ReturnType<typeof createLogger>;
  logTail: LogTail;
}

async function main(): Promise<void> {
  const [command, ...rest] = process.argv.slice(2);
  if (rest.length > 0 || (command !== undefined && command !== 'release')) {
    process.stderr.write(USAGE);
    process.exit(EXIT_USAGE);
  }
  const file = process.env['PVCD_CONFIG_FILE'] ?? CONFIG_FILE_DEFAULT;
  const config = await readConfig(file);
  const logTail = new LogTail(config.log_lines_max);
  const log = createLogger('pvcd', config.log_level, teeTo((line) => logTail.take(line)));
  if (command === 'release') await releaseThisHost(config, log);
  else await serve(config, { file, log, logTail });
}

/** Every fault on a line of its own, by key. */
async function readConfig(file: string): Promise<NodeConfig> {
  try {
    return await loadConfig(file, nodeConfig);
  } catch (error) {
    if (!isAppError(error, 'invalid')) throw error;
    process.stderr.write(`${file}: ${error.message}\n${faultsOf(error.details).map((fault) => `  ${fault}\n`).join('')}`);
    process.exit(EXIT_CONFIG);
  }
}

function faultsOf(details: Readonly<Record<string, unknown>>): readonly string[] {
  const faults = details['faults'];
  return Array.isArray(faults) ? faults.map(String) : [];
}

async function serve(config: NodeConfig, setup: Setup): Promise<void> {
  const { log } = setup;
  const fail = (message: string) => (error: unknown) => {
    log.error({ why: describeError(error), err: error }, message);
    process.exit(EXIT_FAILURE);
  };
  process.on('uncaughtException', fail('unexpected exception; the daemon ends'));
  process.on('unhandledRejection', fail('unexpected rejection; the daemon ends'));
  const daemon = composeHost(config, setup);
  const sd = new SdNotify({ env: process.env, run, clock: systemClock, log, alive: () => daemon.silentForMs() < SILENT_LIMIT_MS });
  // Timers do not keep the process alive, and while ZooKeeper and libvirt are away nothing else does.
  const alive = new MessageChannel().port1.on('message', () => undefined);
  const starting = new AbortController();
  const ended = new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      // Not `once`: while a command runs, execa listens too, and ends the process where it finds itself alone.
      process.on(signal, () => {
        log.info({ signal }, 'the daemon was told to end');
        starting.abort();
        resolve();
      });
    }
  });
  process.on('SIGHUP', () => void reload(setup));
  await startUp(daemon.start(starting.signal), { stopping: starting.signal, fail: fail('the daemon cannot start') });
  if (!starting.signal.aborted) await sd.send('ready', `node ${config.node}`);
  sd.start();
  await ended;
  await sd.send('stopping');
  await daemon.stop();
  sd.stop();
  alive.close();
  log.info({}, 'the daemon has ended');
  process.exit(0);
}

async function startUp(started: Promise<void>, how: { stopping: AbortSignal; fail: (error: unknown) => void }): Promise<void> {
  try {
    await started;
  } catch (error) {
    if (!how.stopping.aborted) how.fail(error);
  }
}

/** Only the log level: everything else needs a restart, which stops no guest. */
async function reload({ file, log }: Setup): Promise<void> {
  try {
    const { log_level } = await loadConfig(file, nodeConfig);
    log.level = log_level;
    log.info({ level: log_level }, 'log level reloaded');
  } catch (error) {
    log.error({ why: describeError(error) }, 'the configuration could not be reloaded; the old one stays');
  }
}

await main();
