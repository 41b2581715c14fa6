import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { bundledPvc, type PvcCommand, type Result } from '../support/pvc-command.ts';
import { startLab, type Lab } from '../support/lab.ts';
import { until } from '../support/until.ts';

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

test('a network comes into force on its nodes, with its rules and reservations, and goes with all of them', async () => {
  await succeeds('network add 5 -d office -i 10.5.0.0/24 -g 10.5.0.1 --dhcp on --dhcp-start 10.5.0.100 --dhcp-end 10.5.0.199');
  const added = await pvc.run(['network', 'acl', 'add', 'office', '--in', '-d', 'ssh', '-r', 'tcp dport 22 accept']);
  expect([added.code, added.stderr]).toEqual([0, '']);
  await succeeds('network dhcp add office 52:54:00:12:34:56 10.5.0.20 --hostname printer');
  await until(async () => /^office\t([1-9])\/\1\n$/u.test(await succeeds('network list office --columns description,nodes --format raw')), 30_000, 'the network is on its nodes');
  const primary = (await succeeds('cluster primary --columns node --format raw')).trim();
  expect(await lab.exec(primary, ['ip', '-brief', 'address', 'show', 'dev', 'vmbr5'])).toContain('10.5.0.1/24');
  await until(async () => (await lab.exec(primary, ['nft', 'list', 'ruleset'])).includes('tcp dport 22 accept'), 30_000, 'the rule is in force');
  const screen = pvc.open('pvc network remove office');
  await screen.see('lost with it: 1 access rule, 1 reservation');
  await screen.see('Go on?');
  screen.type('y\r');
  expect(await screen.ended()).toBe(0);
  await until(async () => !(await lab.exec(primary, ['ip', '-brief', 'link'])).includes('vmbr5'), 30_000, 'its bridge is gone');
});
