import type { TaskView } from '../common/view/task.ts';
import { ClientError } from './client-error.ts';
import type { CallOptions } from './connection.ts';
import { TASK } from './operations/task.ts';
import { ServiceClient } from './service-client.ts';
import type { WaitOptions } from './wait-for.ts';

/** Long jobs: flushes, and OSDs that come and go. Every method throws ClientError only. */
export class TaskClient extends ServiceClient {
  /** All tasks that are kept, the newest first. */
  list(options?: CallOptions): Promise<TaskView[]> {
    return this.connection.call(TASK.list, {}, options);
  }

  /** One task with its steps. 404: no task has this id; one that is over is forgotten after a while. */
  get(task: string, options?: CallOptions): Promise<TaskView> {
    return this.connection.call(TASK.get, { task }, options);
  }

  /**
   * Waits until the task has succeeded.
   * @returns the task as it ended.
   * @throws ClientError 'outcome' with its reason when it failed or was ended by a newer request, 'timeout' after the limit.
   */
  async waitTask(task: string, options: WaitOptions<TaskView> = {}): Promise<TaskView> {
    const isDone = ({ id, state, status }: TaskView): boolean => {
      if (state === 'FAILURE' || state === 'REVOKED') {
        throw new ClientError('outcome', state === 'FAILURE' ? 'the task failed' : 'a newer request has ended the task', { details: [`task: ${id}`, `why: ${status}`] });
      }
      return state === 'SUCCESS';
    };
    const wait = { what: `the end of task ${task}`, filter: { kinds: ['task' as const], id: task }, look: (signal: AbortSignal) => this.get(task, { signal }), isDone };
    const { waitFor } = await import('./wait-for.ts');
    return waitFor(this.connection, wait, options);
  }
}
