import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { aZooKeeper, ask, domainXml, putNode, putVm, putVmStatus, startApi, type TestApi } from './api-support.ts';

const WEB1 = '0f7c1c1e-6b1d-4f59-9a6e-2e9a4c0f1a11';
const WEB10 = '0f7c1c1e-6b1d-4f59-9a6e-2e9a4c0f1a12';

describe('smoke', () => {
  let test1: TestApi;
  beforeAll(async () => {
    test1 = await startApi({ zookeeper: aZooKeeper() });
    await putNode(test1, 'hv1', { coordinatorState: 'primary' });
    await putNode(test1, 'hv2');
    await putVm(test1, { uuid: WEB1, name: 'web1', node: 'hv1' });
    await putVm(test1, { uuid: WEB10, name: 'web10', node: 'hv2' });
    await putVmStatus(test1, WEB1);
  });
  afterAll(() => test1.stop());

  test('smoke', async () => {
    for (const path of ['', '/', '/status', '/node', '/node/hv1', '/vm', '/vm/web1', '/vm/web1/state', '/vm/web1/meta', '/vm/web1/dump', '/task', '/tasks', '/openapi.json', '/docs', '/vm/nope', '/nope']) {
      const answer = await ask(test1.base, path);
      console.log(path, answer.code, answer.text.slice(0, 300));
    }
    console.log(await ask(test1.base, '/vm', { form: { xml: domainXml('new1') } }));
    expect(1).toBe(1);
  });
});
