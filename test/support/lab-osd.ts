import { open } from 'node:fs/promises';
import { apiUrl } from '../../lab/api-client.ts';
import type { TaskView } from '../../common/view/task.ts';
import type { Lab } from './lab.ts';
import { eventually } from './lab-vm.ts';
import { partitionTable } from './partition-table.ts';

const TASK_LIMIT_MS = 180_000;
const REQUEST_LIMIT_MS = 10_000;
/** Who says so is answered at once, with the task. */
const NEWER_CLIENT = 'pvc-client-cli/0.9.100';
/** Ceph's tools take no less; sparse. */
const DEVICE_SIZE = '2G';
/** Of an OSD of the lab's own. */
export const OSD_WEIGHT = '0.004';

/** OSDs on a lab's hosts, on loop devices whose files are on the hosts' own disks: they are detached when the lab goes down, however it does. */
export class LabOsds {
  readonly #lab: Lab;

  constructor(lab: Lab) {
    this.#lab = lab;
  }

  /** An empty device of the host. @returns its path. */
  async device(host: string): Promise<string> {
    const file = '/var/lib/ceph/extra.img';
    await this.#lab.exec(host, ['truncate', '--size', DEVICE_SIZE, file]);
    const device = (await this.#lab.exec(host, ['losetup', '--find', '--show', file])).trim();
    if (!/^\/dev\/loop\d+$/u.test(device)) throw new Error(`losetup said ${device}`);
    return device;
  }

  async detach(host: string, device: string): Promise<void> {
    await this.#lab.exec(host, ['losetup', '--detach', device]);
    await this.#lab.exec(host, ['rm', '/var/lib/ceph/extra.img']);
  }

  /** Hosts have the machine's devices. */
  async partition(device: string): Promise<void> {
    const handle = await open(device, 'r+');
    try {
      await handle.write(partitionTable());
      await handle.sync();
    } finally {
      await handle.close();
    }
  }

  /** The kinds of what wipefs finds on it. */
  async signatures(host: string, device: string): Promise<string[]> {
    const { signatures } = JSON.parse(await this.#lab.exec(host, ['wipefs', '--json', device])) as { signatures: { type: string }[] };
    return signatures.map((one) => one.type);
  }

  /** @returns the id of the task. */
  async add(host: string, device: string, options: { zap?: 'yes'; yes_i_really_mean_it?: 'yes' } = {}): Promise<string> {
    return this.#ask('POST', '/api/v1/storage/ceph/osd', { node: host, device, weight: OSD_WEIGHT, ...options });
  }

  async remove(id: number): Promise<string> {
    return this.#ask('DELETE', `/api/v1/storage/ceph/osd/${id}`, { yes_i_really_mean_it: 'yes' });
  }

  async task(id: string): Promise<TaskView> {
    const reply = await this.#lab.call('GET', `/api/v1/tasks/${id}`);
    if (reply.status !== 200) throw new Error(`task ${id}: ${reply.status} ${JSON.stringify(reply.body)}`);
    return reply.body as TaskView;
  }

  /** Waits until the task has begun this step, or has ended. */
  async reaches(id: string, step: string): Promise<void> {
    const begun = ({ steps, state }: TaskView): boolean => isOver(state) || steps.find(({ name }) => name === step)?.state !== 'waiting';
    await eventually(async () => begun(await this.task(id)), TASK_LIMIT_MS, () => `step ${step} of task ${id}`);
  }

  /** The task as it ended, whichever daemon ended it. */
  async over(id: string): Promise<TaskView> {
    let seen: TaskView | undefined;
    await eventually(
      async () => {
        seen = await this.task(id);
        return isOver(seen.state);
      },
      TASK_LIMIT_MS,
      () => `the end of a task; it is ${JSON.stringify(seen)}`,
    );
    return seen!;
  }

  /** Ceph's own answer to a command. */
  async json<T>(...command: string[]): Promise<T> {
    return JSON.parse(await this.#lab.exec('hv1', ['ceph', '--connect-timeout', '20', ...command, '--format', 'json'])) as T;
  }

  async #ask(method: string, path: string, values: Record<string, string>): Promise<string> {
    const headers = { 'X-Api-Key': this.#lab.token, 'User-Agent': NEWER_CLIENT };
    const answer = await fetch(`${apiUrl(this.#lab.state)}${path}`, { method, headers, body: new URLSearchParams(values), signal: AbortSignal.timeout(REQUEST_LIMIT_MS) });
    const text = await answer.text();
    if (answer.status !== 202) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return (JSON.parse(text) as { task_id: string }).task_id;
  }
}

function isOver(state: TaskView['state']): boolean {
  return state !== 'PENDING' && state !== 'RUNNING';
}
