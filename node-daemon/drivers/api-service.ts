import { isAppError } from '../../common/errors.ts';
import type { Command, Run } from '../../common/process.ts';
import type { NodeConfig } from '../config.ts';

/** `systemctl start` returns when a Type=notify service is ready; an API with a full mirror takes a few seconds. */
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 30_000;
const QUERY_TIMEOUT_MS = 5_000;

/** `unknown`: nobody can tell; both calls are safe. */
export type ApiServiceState = 'running' | 'stopped' | 'unknown';

/** The HTTP API's process on this host, which runs on the primary only. Both calls return when it is done and may be repeated. */
export interface ApiService {
  start(signal?: AbortSignal): Promise<void>;
  stop(signal?: AbortSignal): Promise<void>;
  state(signal?: AbortSignal): Promise<ApiServiceState>;
}

/** ActiveState of a unit (systemd.unit(5)); 'activating' and 'deactivating' are neither. */
export function parseActiveState(text: string): ApiServiceState {
  switch (text.trim()) {
    case 'active':
    case 'reloading':
      return 'running';
    case 'inactive':
    case 'failed':
      return 'stopped';
    default:
      return 'unknown';
  }
}

/**
 * Both calls can come while systemd stops this daemon, at its end or the host's. Then a start that pulled the daemon in, to which the unit is
 * bound, would cancel its stop; and the API's own stop is queued behind the daemon's, which waits for the API. Neither matters alone:
 * what was started ends with the daemon.
 */
const JOB_MODE = '--job-mode=ignore-dependencies';

class SystemdApiService implements ApiService {
  readonly #run: Run;
  readonly #unit: string;

  constructor(run: Run, unit: string) {
    this.#run = run;
    this.#unit = unit;
  }

  async start(signal?: AbortSignal): Promise<void> {
    await this.#run(['systemctl', 'start', JOB_MODE, '--', this.#unit], { timeoutMs: START_TIMEOUT_MS, signal });
  }

  async stop(signal?: AbortSignal): Promise<void> {
    await this.#run(['systemctl', 'stop', JOB_MODE, '--', this.#unit], { timeoutMs: STOP_TIMEOUT_MS, signal });
  }

  /** `systemctl show` exits with 0 for every state, also of a unit that is not installed. */
  async state(signal?: AbortSignal): Promise<ApiServiceState> {
    const command: Command = ['systemctl', 'show', '--property=ActiveState', '--value', '--', this.#unit];
    const result = await this.#run(command, { timeoutMs: QUERY_TIMEOUT_MS, signal });
    return parseActiveState(result.stdout);
  }
}

/** Exit code of `systemctl is-active`, and of an init script's `status`, for what does not run. */
const EXIT_NOT_ACTIVE = 3;

interface ApiCommands {
  start: Command;
  stop: Command;
  status?: Command | undefined;
}

/** Commands of the configuration. Without one that tells the state, the last one that succeeded counts. */
class CommandApiService implements ApiService {
  readonly #run: Run;
  readonly #startCommand: Command;
  readonly #stopCommand: Command;
  readonly #statusCommand: Command | undefined;
  #state: ApiServiceState = 'unknown';

  constructor(run: Run, commands: ApiCommands) {
    this.#run = run;
    this.#startCommand = commands.start;
    this.#stopCommand = commands.stop;
    this.#statusCommand = commands.status;
  }

  async start(signal?: AbortSignal): Promise<void> {
    this.#state = 'unknown';
    await this.#run(this.#startCommand, { timeoutMs: START_TIMEOUT_MS, signal });
    this.#state = 'running';
  }

  async stop(signal?: AbortSignal): Promise<void> {
    this.#state = 'unknown';
    await this.#run(this.#stopCommand, { timeoutMs: STOP_TIMEOUT_MS, signal });
    this.#state = 'stopped';
  }

  async state(signal?: AbortSignal): Promise<ApiServiceState> {
    if (this.#statusCommand === undefined) return this.#state;
    try {
      await this.#run(this.#statusCommand, { timeoutMs: QUERY_TIMEOUT_MS, signal });
      return 'running';
    } catch (error) {
      if (!isAppError(error, 'component', 'timeout')) throw error;
      return error.details['exitCode'] === EXIT_NOT_ACTIVE ? 'stopped' : 'unknown';
    }
  }
}

/** No API belongs to this cluster's primary: whatever is wanted is so. */
class NoApiService implements ApiService {
  #state: ApiServiceState = 'stopped';

  async start(): Promise<void> {
    this.#state = 'running';
  }

  async stop(): Promise<void> {
    this.#state = 'stopped';
  }

  async state(): Promise<ApiServiceState> {
    return this.#state;
  }
}

export function createApiService(config: NodeConfig['api_service'], run: Run): ApiService {
  switch (config.kind) {
    case 'none':
      return new NoApiService();
    case 'systemd':
      return new SystemdApiService(run, config.unit);
    case 'command':
      return new CommandApiService(run, { start: config.start, stop: config.stop, status: config.status });
  }
}
