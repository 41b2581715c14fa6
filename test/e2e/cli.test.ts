import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { bundledPvc, type PvcCommand, type Result } from '../support/pvc-command.ts';
import { startLab, type Lab } from '../support/lab.ts';

let lab: Lab;
let pvc: PvcCommand;

beforeAll(async () => {
  lab = await startLab({ nodes: 2 });
  pvc = bundledPvc({ PVC_API_URL: lab.url, PVC_API_TOKEN: lab.token });
});

afterAll(async () => {
  pvc?.stop();
  await lab?.stop();
});

const run = (line: string): Promise<Result> => pvc.run(line.split(' '));

async function succeeds(line: string): Promise<string> {
  const { code, stdout, stderr } = await run(line);
  expect(code, `${line}: ${stderr}`).toBe(0);
  return stdout;
}

const nodeOf = async (vm: string): Promise<string> => (await succeeds(`vm node ${vm} --columns node --format raw`)).trim();

test('VMs are defined and started, and the command comes back when they run', async () => {
  for (const name of ['web1', 'web2']) {
    const file = join(pvc.folder, `${name}.xml`);
    writeFileSync(file, lab.guestXml(name));
    await succeeds(`vm define ${file} --node hv1`);
  }
  expect(await succeeds('vm start web1 web2')).toBe('VM web1 runs on node hv1\nVM web2 runs on node hv1\n');
  expect(await lab.exec('hv1', ['virsh', 'list', '--name'])).toMatch(/^web1$/mu);
});

test('a console is followed', async () => {
  const screen = pvc.open('pvc vm console web1');
  await screen.see(/GUEST: count \d+/u, 60_000);
  await screen.see(/GUEST: count \d+/u, 60_000);
  screen.type('\u0003');
  expect(await screen.ended()).toBe(0);
});

test('a migration has a bar with bytes, rate and remaining time on a terminal', async () => {
  const screen = pvc.open('pvc vm migrate web1 --node hv2');
  await screen.see('web1 hv1 → hv2');
  await screen.see('100% done');
  expect(await screen.ended()).toBe(0);
  expect(screen.text).toContain('VM web1 runs on node hv2');
  expect(screen.text).toMatch(/\d+% [\d.]+ \w+ of [\d.]+ MiB/u);
  expect(await lab.exec('hv2', ['virsh', 'list', '--name'])).toMatch(/^web1$/mu);
});

test('a migration has lines in a pipe', async () => {
  const { code, stdout, stderr } = await run('vm unmigrate web1');
  expect([code, stdout]).toEqual([0, 'VM web1 runs on node hv1\n']);
  expect(stderr).toMatch(/^web1 hv2 → hv1 \d+% /u);
});

test('a flush has a line for each VM, and ends when the node is empty', async () => {
  const screen = pvc.open('pvc node flush hv1', { NO_COLOR: '1' });
  expect(await screen.ended()).toBe(0);
  expect(screen.text).toMatch(/✔ web1 done/u);
  expect(screen.text).toMatch(/✔ web2 done/u);
  expect([await nodeOf('web1'), await nodeOf('web2')]).toEqual(['hv2', 'hv2']);
  await succeeds('node ready hv1');
  expect([await nodeOf('web1'), await nodeOf('web2')]).toEqual(['hv1', 'hv1']);
});

test('the cluster and its lists are shown', async () => {
  expect(await succeeds('cluster status')).toContain('nothing is wrong');
  expect((await succeeds('node list --columns name,daemon --format raw')).trim().split('\n')).toEqual(['hv1\trun', 'hv2\trun']);
  expect(await succeeds('node log hv1 -n 3')).not.toBe('');
});

test('a VM that is deleted is gone', async () => {
  await succeeds('vm delete web1 --yes');
  expect((await succeeds('vm list --columns name --format raw')).trim()).toBe('web2');
  expect(await lab.exec('hv1', ['virsh', 'list', '--all', '--name'])).not.toMatch(/^web1$/mu);
});
