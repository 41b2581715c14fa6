import { basename, join } from 'node:path';
import type { Clock } from '../../common/clock.ts';
import type { Logger } from '../../common/log.ts';
import type { Command, Run } from '../../common/process.ts';
import type { OsdId } from '../../common/schema/osd.ts';
import type { NodeConfig } from '../config.ts';
import { ServiceProcesses, type ServiceMark } from './service-process.ts';

/** `held`: a person has masked the unit, and it stays off. */
export type OsdServiceState = 'running' | 'stopped' | 'held';

/** The processes of this host's OSDs. They outlive the daemon. Start and stop may be repeated. */
export interface OsdService {
  /** Finds what runs. Safe to call twice. */
  start(signal: AbortSignal): Promise<void>;
  /** Does not end the OSDs. */
  stop(): Promise<void>;
  state(id: OsdId, signal: AbortSignal): Promise<OsdServiceState>;
  /** Resolves when the process runs; whether the OSD is up, the monitors say. */
  startOsd(osd: { id: OsdId; host: string }, signal: AbortSignal): Promise<void>;
  /** Resolves when it has ended. */
  stopOsd(id: OsdId, signal: AbortSignal): Promise<void>;
}

/** An OSD that is told to end does so at once; one that hangs is killed by systemd after 90 s. */
const STOP_TIMEOUT_MS = 120_000;
const START_TIMEOUT_MS = 60_000;
const QUERY_TIMEOUT_MS = 5_000;

/** Ceph's own units: `ceph-osd@ID.service`. */
class SystemdOsdService implements OsdService {
  readonly #run: Run;

  constructor(run: Run) {
    this.#run = run;
  }

  async start(): Promise<void> {}

  async stop(): Promise<void> {}

  async state(id: OsdId, signal: AbortSignal): Promise<OsdServiceState> {
    const { stdout } = await this.#run(['systemctl', 'show', '--property=LoadState', '--property=ActiveState', '--', unitOf(id)], { timeoutMs: QUERY_TIMEOUT_MS, signal });
    return parseUnitState(stdout);
  }

  /** A unit that failed too often is started only when that is forgotten. */
  async startOsd({ id }: { id: OsdId }, signal: AbortSignal): Promise<void> {
    await this.#run(['systemctl', 'reset-failed', '--', unitOf(id)], { timeoutMs: QUERY_TIMEOUT_MS, signal });
    await this.#run(['systemctl', 'start', '--', unitOf(id)], { timeoutMs: START_TIMEOUT_MS, signal });
  }

  async stopOsd(id: OsdId, signal: AbortSignal): Promise<void> {
    await this.#run(['systemctl', 'stop', '--', unitOf(id)], { timeoutMs: STOP_TIMEOUT_MS, signal });
  }
}

function unitOf(id: OsdId): string {
  return `ceph-osd@${id}.service`;
}

/** Properties of a unit, one a line (systemd.unit(5)). A unit on its way up counts as running: it needs nothing more from us. */
export function parseUnitState(text: string): OsdServiceState {
  const properties = new Map(text.split('\n').map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
  if (properties.get('LoadState') === 'masked') return 'held';
  return ['active', 'activating', 'reloading', 'deactivating'].includes(properties.get('ActiveState') ?? '') ? 'running' : 'stopped';
}

interface ProcessDeps extends OsdServiceDeps {
  /** Holds a folder `ceph-ID` for each OSD. */
  directory: string;
  configFile: string;
}

/** Processes of the daemon's own, for hosts without systemd, such as a lab's. */
class ProcessOsdService implements OsdService {
  readonly #deps: ProcessDeps;
  readonly #processes: ServiceProcesses;

  constructor(deps: ProcessDeps) {
    this.#deps = deps;
    const { clock, log, wrap, directory } = deps;
    this.#processes = new ServiceProcesses({ clock, log, wrap, markOf: (argv) => markOfOsd(directory, argv) });
  }

  async start(signal: AbortSignal): Promise<void> {
    await this.#processes.start(signal);
  }

  async stop(): Promise<void> {
    await this.#processes.stop();
  }

  async state(id: OsdId): Promise<OsdServiceState> {
    return (await this.#processes.running(String(id))).length > 0 ? 'running' : 'stopped';
  }

  async startOsd({ id, host }: { id: OsdId; host: string }, signal: AbortSignal): Promise<void> {
    if ((await this.state(id)) === 'running') return;
    const folder = join(this.#deps.directory, `ceph-${id}`);
    const pidFile = join(folder, 'pid');
    const command: Command = ['ceph-osd', '-f', '-c', this.#deps.configFile, '-i', String(id), '--osd-data', folder, '--keyring', join(folder, 'keyring'), '--pid-file', pidFile, `--crush-location=host=${host} root=default`];
    await this.#processes.launch({ mark: { key: String(id), digest: '' }, command, pidFile, stderrFile: join(folder, 'stderr') }, signal);
  }

  async stopOsd(id: OsdId): Promise<void> {
    await this.#processes.end(String(id));
  }
}

/** An OSD of this folder, by the arguments that it was started with. */
function markOfOsd(directory: string, argv: readonly string[]): ServiceMark | undefined {
  const after = (option: string): string => argv[argv.indexOf(option) + 1] ?? '';
  const id = after('-i');
  const isOurs = basename(argv[0] ?? '') === 'ceph-osd' && argv.includes('-f') && after('--osd-data') === join(directory, `ceph-${id}`);
  return isOurs ? { key: id, digest: '' } : undefined;
}

/** What an OSD service works with. `wrap` starts its processes in another way; it must become the program (execve). */
export interface OsdServiceDeps {
  run: Run;
  clock: Clock;
  log: Logger;
  wrap?: ((command: Command) => Command) | undefined;
}

export function createOsdService(config: NodeConfig['ceph'], deps: OsdServiceDeps): OsdService {
  switch (config.osd.service.kind) {
    case 'systemd':
      return new SystemdOsdService(deps.run);
    case 'process':
      return new ProcessOsdService({ ...deps, directory: config.osd.directory, configFile: config.config_file });
  }
}
