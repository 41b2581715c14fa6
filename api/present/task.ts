import type { Task } from '../../common/schema/task.ts';
import type { TaskView } from '../../common/view/task.ts';

const STATE = { pending: 'PENDING', running: 'RUNNING', done: 'SUCCESS', failed: 'FAILURE', cancelled: 'REVOKED' } as const;

export function presentTask(doc: Task): TaskView {
  const over = doc.steps.filter((step) => step.state === 'done' || step.state === 'failed' || step.state === 'skipped').length;
  const running = doc.steps.find((step) => step.state === 'running');
  const status = doc.error ?? running?.message ?? running?.name ?? `${doc.kind} ${doc.target}`;
  return {
    id: doc.id,
    task_id: doc.id,
    kind: doc.kind,
    target: doc.target,
    executor: doc.executor,
    requested_by: doc.requestedBy,
    state: STATE[doc.state],
    current: over,
    total: doc.steps.length,
    status,
    result: doc.error ?? '',
    error: doc.error,
    created: new Date(doc.createdMs).toISOString(),
    steps: doc.steps,
  };
}
