import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { VmSpec } from '../../common/schema/vm.ts';
import type { Task } from '../../common/schema/task.ts';
import { isAppError } from '../../common/errors.ts';
import { aVmId } from '../support/builders.ts';
import { filled, missing, NEW_COMMAND_LINE, OLD_COMMAND_LINE, type Step } from '../support/command-lines.ts';
import { until } from '../support/until.ts';
import { aZooKeeper, ask, domainXml, put, putNode, putVmStatus, startApi, type TestApi } from './api-support.ts';

describe.each([
  ['0.6', OLD_COMMAND_LINE],
  ['1.0', NEW_COMMAND_LINE],
] as const)('the existing command line %s finds what it reads', (_version, steps) => {
  let api: TestApi;
  let unlisten: () => void;
  const uuids = { guest: aVmId(1), rich: aVmId(2) };
  const names = { guest: 'guest1', rich: 'rich1', a: 'hv1', b: 'hv2', c: 'hv3', primary: 'hv1', secondary: 'hv2' };

  beforeAll(async () => {
    api = await startApi({ zookeeper: aZooKeeper() });
    await putNode(api, 'hv1', { coordinatorState: 'primary' });
    for (const name of ['hv2', 'hv3']) await putNode(api, name);
    await put(api, 'lease', 'primary', { node: 'hv1', instance: 'hv1-1' });
    unlisten = answerAsNodes(api);
  });

  afterAll(async () => {
    unlisten();
    await api.stop();
  });

  test.each(steps)('$command', async (step: Step) => {
    await until(() => [...api.api.mirror.all('vm').values()].every(({ doc }) => isAnswered(api, doc)), 5_000);
    const answer = await ask(api.base, filled(step.path, names), {
      method: step.method,
      query: filled(step.query ?? '', names),
      ...(step.xml === undefined ? {} : { form: { xml: domainXml(names[step.xml], { uuid: uuids[step.xml], devices: DEVICES }) } }),
    });
    expect([answer.code, answer.code === (step.code ?? 200) ? '' : answer.text]).toEqual([step.code ?? 200, '']);
    expect(missing(answer.body, step.reads ?? {})).toEqual([]);
  });
});

/** A bridge of the host's own: no network of the cluster has to be there. */
const DEVICES = `<interface type="bridge"><mac address="52:54:00:aa:bb:01"/><source bridge="br1001"/><model type="virtio"/></interface>
<disk type="network"><source protocol="rbd" name="vms/web1_sda"/><target dev="sda" bus="scsi"/></disk><controller type="scsi" model="virtio-scsi"/>`;

/** Every request to the nodes is carried out at once, as far as the API sees it. */
function answerAsNodes(api: TestApi): () => void {
  const { mirror } = api.api;
  return mirror.onChange((kind, id) => {
    if (kind === 'vm') void answered(answerVm(api, mirror.get('vm', id)?.doc));
    if (kind === 'task') void answered(answerTask(api, mirror.get('task', id)?.doc));
  });
}

function ownerOf(spec: VmSpec): VmSpec['node'] | null {
  return spec.power.action === 'start' || spec.power.action === 'restart' ? spec.node : null;
}

function isAnswered(api: TestApi, spec: VmSpec): boolean {
  const status = api.api.mirror.get('vm-status', spec.uuid)?.doc;
  return spec.deletion !== null || (status?.owner === ownerOf(spec) && status.powerGeneration === spec.power.generation);
}

async function answerVm(api: TestApi, spec: VmSpec | undefined): Promise<void> {
  if (spec === undefined || isAnswered(api, spec)) return;
  const owner = ownerOf(spec);
  const epoch = (api.api.mirror.get('vm-status', spec.uuid)?.doc.epoch ?? 0) + 1;
  await putVmStatus(api, spec.uuid, { owner, epoch, phase: { kind: owner === null ? 'stopped' : 'running' }, powerGeneration: spec.power.generation });
}

async function answerTask(api: TestApi, task: Task | undefined): Promise<void> {
  if (task?.state !== 'pending') return;
  const flushed = task.kind === 'flush';
  await putNode(api, task.target, { wish: flushed ? 'flush' : 'ready', generation: task.generation });
  await put(api, 'task', task.id, { ...task, state: 'done' });
}

/** Two changes at once may answer the same request twice; the second finds it answered. */
async function answered(work: Promise<void>): Promise<void> {
  await work.catch((error: unknown) => {
    if (!isAppError(error, 'conflict', 'exists', 'not-found', 'timeout')) throw error;
  });
}
