import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { verbsWithout } from '../support/cli-verbs.ts';
import { PROMPT, typeFirstHour } from '../support/first-hour.ts';
import { LabOsds, OSD_WEIGHT } from '../support/lab-osd.ts';
import { LabPvc } from '../support/lab-pvc.ts';
import { startLab, type Lab } from '../support/lab.ts';
import type { Screen } from '../support/pvc-command.ts';
import { CLUSTER_STEPS, connectionSteps, definitionSteps, NETWORK_STEPS, volumeSteps } from '../support/pvc-steps.ts';
import { until } from '../support/until.ts';

/** Commands that wait for OSDs, or for a guest that may not listen yet. */
const LONG_MS = 180_000;
/** Of a migration: the test guest's memory takes a minute then, or moments. */
const SLOW_MIB_PER_S = '1';
const FAST_MIB_PER_S = '1000';

const CTRL_C = '\u0003';
const DOWN = '\u001b[B';

let lab: Lab;
let pvc: LabPvc;

beforeAll(async () => {
  lab = await startLab({ nodes: 3, storage: true });
  pvc = new LabPvc(lab);
});

afterAll(async () => {
  pvc?.command.stop();
  await lab?.stop();
});

/** A file of the command's own folder. */
function written(name: string, text: string): string {
  const file = join(pvc.command.folder, name);
  writeFileSync(file, text);
  return file;
}

const nodeOf = async (vm: string): Promise<string> => (await pvc.succeeds(`vm node ${vm} --columns node --format raw`)).trim();
const primary = async (): Promise<string> => (await pvc.succeeds('cluster primary --columns node --format raw')).trim();
const guestsOn = (host: string): Promise<string> => lab.exec(host, ['virsh', 'list', '--name']);
const setSpeed = async (vm: string, node: string, mibPerS: string): Promise<void> => void (await lab.exec(node, ['virsh', 'migrate-setspeed', vm, mibPerS]));

/** Waits until the last that the guest has said is a count beyond this one. @returns it. */
async function countsBeyond(vm: string, count: number): Promise<number> {
  let last = 0;
  const further = async (): Promise<boolean> => {
    last = Number(/GUEST: count (\d+)\n$/u.exec(await pvc.succeeds(`vm console ${vm} --once`))?.[1] ?? 0);
    return last > count;
  };
  await until(further, LONG_MS, `${vm} to count beyond ${count}`);
  return last;
}

test('VMs are defined and started, and the command comes back when they run', async () => {
  await pvc.succeeds('node ready hv1');
  for (const name of ['web1', 'web2']) await pvc.succeeds(`vm define ${written(`${name}.xml`, lab.guestXml(name))} --node hv1`);
  expect(await pvc.succeeds('vm start web1 web2')).toBe('VM web1 runs on node hv1\nVM web2 runs on node hv1\n');
  expect(await guestsOn('hv1')).toMatch(/^web1$/mu);
});

test('a console is followed', async () => {
  const screen = pvc.open('vm console web1');
  await screen.see(/GUEST: count \d+/u, 60_000);
  await screen.see(/GUEST: count \d+/u, 60_000);
  screen.type(CTRL_C);
  expect(await screen.ended()).toBe(0);
});

test('a migration has a bar with bytes, rate and remaining time on a terminal', async () => {
  // Bytes are told once a second, and a small guest may have arrived by then.
  await setSpeed('web1', 'hv1', SLOW_MIB_PER_S);
  const screen = pvc.open('vm migrate web1 --node hv2');
  await screen.see('web1 hv1 → hv2');
  await screen.see(/\d+% [\d.]+ \w+ of [\d.]+ MiB/u, 60_000);
  await setSpeed('web1', 'hv1', FAST_MIB_PER_S);
  await screen.see('100% done');
  expect(await screen.ended()).toBe(0);
  expect(screen.text).toContain('VM web1 runs on node hv2');
  expect(await guestsOn('hv2')).toMatch(/^web1$/mu);
});

test('a migration has lines in a pipe', async () => {
  const { code, stdout, stderr } = await pvc.run('vm unmigrate web1');
  expect([code, stdout]).toEqual([0, 'VM web1 runs on node hv1\n']);
  expect(stderr).toMatch(/^web1 hv2 → hv1 \d+% /u);
});

test('a flush has a line for each VM, and ends when the node is empty', async () => {
  const screen = pvc.open('node flush hv1', { NO_COLOR: '1' });
  expect(await screen.ended()).toBe(0);
  expect(screen.text).toMatch(/✔ web1 done/u);
  expect(screen.text).toMatch(/✔ web2 done/u);
  expect((await guestsOn('hv1')).trim()).toBe('');
  await pvc.succeeds('node ready hv1');
  expect([await nodeOf('web1'), await nodeOf('web2')]).toEqual(['hv1', 'hv1']);
});

describe('Ctrl-C asks', () => {
  /** Opens it and waits until web1 is on its way, too slowly to arrive by itself. */
  async function underWay(line: string, sign: RegExp): Promise<Screen> {
    await setSpeed('web1', await nodeOf('web1'), SLOW_MIB_PER_S);
    const screen = pvc.open(line, { NO_COLOR: '1' });
    await screen.see(sign, 60_000);
    return screen;
  }
  const MOVES = /web1 hv1 → hv2 .*MiB of/u;

  test('and goes on waiting, or cancels a migration: the VM stays where it is', async () => {
    const screen = await underWay('vm migrate web1 --node hv2', MOVES);
    screen.type(CTRL_C);
    await screen.see('the migration of VM web1 is not over.');
    screen.type('\r');
    await screen.see(MOVES);
    screen.type(CTRL_C);
    await screen.see('cancel it: the VM stays on node hv1');
    screen.type(`${DOWN}${DOWN}\r`);
    expect(await screen.ended()).toBe(1);
    expect(screen.text).toContain('pvc: VM web1 is still on node hv1: its migration was called off');
    expect([await guestsOn('hv1'), await guestsOn('hv2')]).toEqual([expect.stringMatching(/^web1$/mu), expect.not.stringContaining('web1')]);
    await pvc.succeeds('vm state web1', /^state +start$/mu);
  });

  test('and leaves a migration running: the command ends, and the VM arrives', async () => {
    const screen = await underWay('vm migrate web1 --node hv2', MOVES);
    screen.type(CTRL_C);
    await screen.see('leave it running');
    screen.type(`${DOWN}\r`);
    expect(await screen.ended()).toBe(0);
    expect(screen.text).toContain('the migration of VM web1 goes on: pvc vm info web1');
    await pvc.succeeds('vm state web1', /^state +migrate$/mu);
    await setSpeed('web1', 'hv1', FAST_MIB_PER_S);
    await pvc.succeeds('vm wait web1 start', /^VM web1 runs on node hv2$/mu);
    await pvc.succeeds('vm unmigrate web1');
  });

  test('and leaves a flush running, which a later command calls off', async () => {
    const screen = await underWay('node flush hv1', /… web1 running/u);
    screen.type(CTRL_C);
    await screen.see('the flush of node hv1 is not over.');
    await screen.see('cancel it: its VMs come back');
    screen.type(`${DOWN}\r`);
    expect(await screen.ended()).toBe(0);
    const task = /the flush of node hv1 goes on: pvc task info (\S+)/u.exec(screen.text)?.[1] ?? expect.fail(screen.text);
    await pvc.succeeds(`task info ${task}`, /^state +RUNNING$/mu);
    await pvc.succeeds(`task cancel ${task}`);
    await setSpeed('web1', 'hv1', FAST_MIB_PER_S);
    await pvc.succeeds('node wait hv1 --domain-state ready');
    await pvc.succeeds('vm wait web1 start', /^VM web1 runs on node hv1$/mu);
    expect(await pvc.run(`task wait ${task}`)).toMatchObject({ code: 1, stderr: expect.stringMatching(/^pvc: a newer request has ended the task/mu) });
  });

  test('and cancels a flush: its VMs are where they were', async () => {
    const screen = await underWay('node flush hv1', /… web1 running/u);
    screen.type(CTRL_C);
    await screen.see('cancel it');
    screen.type(`${DOWN}${DOWN}\r`);
    expect(await screen.ended()).toBe(1);
    expect(screen.text).toMatch(/pvc: .*a newer request has ended the task/u);
    await setSpeed('web1', 'hv1', FAST_MIB_PER_S);
    await pvc.succeeds('node wait hv1 --domain-state ready');
    for (const vm of ['web1', 'web2']) await pvc.succeeds(`vm wait ${vm} start`, new RegExp(`^VM ${vm} runs on node hv1$`, 'mu'));
  });
});

describe('every command', () => {
  test('of networks, volumes and definitions does what it says', async () => {
    await lab.exec('hv1', ['ceph', 'config', 'set', 'mon', 'mon_allow_pool_delete', 'true']);
    const spare = written('spare.xml', lab.guestXml('spare', { disks: ['vms/spare'] }));
    const image = written('image.raw', 'a raw image. '.repeat(100_000));
    await Promise.all([pvc.all(NETWORK_STEPS), pvc.all(volumeSteps(image)), pvc.all(definitionSteps(spare))]);
    expect(readFileSync(`${image}.back`).equals(readFileSync(image))).toBe(true);
    expect(await lab.exec('hv1', ['rbd', 'ls', 'vms'])).toBe('');
    expect(await lab.exec('hv1', ['ceph', 'osd', 'pool', 'ls'])).not.toContain('fast');
  });

  test('of the cluster, of tasks and of connections does, and events are told', async () => {
    const folder = join(pvc.command.folder, 'config');
    const told = pvc.succeeds('cluster events --kind vm --count 1', /^vm web1 start on hv1\n$/u);
    let isTold = false;
    void told.finally(() => (isTold = true));
    await Promise.all([pvc.all(CLUSTER_STEPS), pvc.all(connectionSteps({ url: lab.url, tokenFile: written('token', lab.token), folder }))]);
    for (let number = 1; !isTold; number += 1) await pvc.succeeds(`vm meta web1 --profile seen${number}`);
    await told;
    expect(readdirSync(join(folder, 'pvc'))).toEqual(['connections.json']);
    const task = (await pvc.succeeds('task list --filter state=SUCCESS --columns id --format raw')).split('\n')[0] ?? '';
    await pvc.succeeds(`task wait ${task}`, /has succeeded/u);
  });

  test('of a VM that runs does, and one that is deleted is gone', async () => {
    await setSpeed('web2', 'hv1', SLOW_MIB_PER_S);
    await pvc.all([
      ['vm migrate web2 --node hv2 --no-wait'],
      ['vm abort web2'],
      ['vm wait web2 start', /on node hv1/u],
      ['vm restart web2', /on node hv1/u, { limitMs: LONG_MS }],
    ]);
    // Not while it boots: docs/lab.md.
    const counted = await countsBeyond('web2', 0);
    await pvc.succeeds('vm move web2 --node hv3', /on node hv3/u);
    await countsBeyond('web2', counted);
    await pvc.all([
      ['vm shutdown web2', /is off/u, { limitMs: LONG_MS }],
      ['vm stop web1 --yes', /is off/u],
      ['vm remove web2 --yes'],
      ['vm delete web1 --yes'],
    ]);
    expect(await pvc.succeeds('vm list --columns name --format raw')).toBe('');
    expect((await lab.exec('hv1', ['virsh', 'list', '--all', '--name'])).trim()).toBe('');
  });

  test('of OSDs does, with a line for each step on a terminal', async () => {
    const osds = new LabOsds(lab);
    const device = await osds.device('hv2');
    try {
      const adding = pvc.open(`storage osd add hv2 ${device} --weight ${OSD_WEIGHT}`, { NO_COLOR: '1' }, LONG_MS);
      await adding.see(/✔ join done/u, LONG_MS);
      expect(await adding.ended()).toBe(0);
      const id = (await pvc.succeeds(`storage osd list --filter device=${device} --columns id --format raw`)).trim();
      expect(id).toBe('3');
      await pvc.all([
        [`storage osd info ${id}`, new RegExp(`^device +${device}$`, 'mu')],
        [`storage osd out ${id}`],
        [`storage osd state ${id} --columns up,in --format raw`, /^up\tout\n$|^up\nout\n$/u],
        [`storage osd in ${id}`],
        ['storage osd set noout'],
        ['storage osd unset noout'],
        [`storage osd remove ${id} --yes`, /is removed/u, { limitMs: LONG_MS }],
      ]);
      expect(await osds.signatures('hv2', device)).toEqual([]);
    } finally {
      await osds.detach('hv2', device);
    }
  });

  test('that the cluster or the command refuses says why, in one line', async () => {
    await Promise.all([
      pvc.refuses('vm create new --template debian', 1, /not|template/u),
      pvc.refuses('vm start nobody', 1, /no VM .*pvc vm list/u),
      pvc.refuses('node flush hv9', 1, /hv9|no node|no such node/u),
      pvc.refuses('network info nowhere', 1, /network/u),
      pvc.refuses('storage volume resize vms none 1M', 1, /none|no such/u),
      pvc.refuses('storage osd remove 0 --yes', 1, /no OSD of a node has this number/u),
      pvc.refuses('storage pool remove vms', 2, /say --yes/u),
      pvc.refuses('task info nothing', 1, /task/u),
      pvc.refuses('vm list --state running', 2, /must be one of/u),
    ]);
  });

  test('of the roles of nodes moves the API, which goes on to answer', async () => {
    const [before, other] = (await primary()) === 'hv3' ? ['hv3', 'hv1'] : [await primary(), 'hv3'];
    await pvc.succeeds(`node primary ${other}`, /is primary/u);
    expect(await primary()).toBe(other);
    await pvc.succeeds(`node secondary ${other}`, /is secondary/u);
    expect(await primary()).not.toBe(other);
    await pvc.succeeds(`node wait ${before} --daemon-state run`);
  });

  test('that can succeed has succeeded here', async () => {
    // There are no templates yet.
    expect(await verbsWithout(pvc.succeeded)).toEqual(['vm create']);
  });
});

test('a network comes into force on its nodes, with its rules and reservations, and goes with all of them', async () => {
  await pvc.succeeds('network add 5 -d office -i 10.5.0.0/24 -g 10.5.0.1 --dhcp on --dhcp-start 10.5.0.100 --dhcp-end 10.5.0.199');
  await pvc.succeeds("network acl add office --in -d ssh -r 'tcp dport 22 accept'");
  await pvc.succeeds('network dhcp add office 52:54:00:12:34:56 10.5.0.20 --hostname printer');
  await until(async () => /^office\t3\/3\n$/u.test(await pvc.succeeds('network list office --columns description,nodes --format raw')), 30_000, 'the network is on its nodes');
  const on = await primary();
  await until(async () => (await lab.exec(on, ['ip', '-brief', 'address', 'show', 'dev', 'vmbr5'])).includes('10.5.0.1/24'), 30_000, 'the gateway is on the primary');
  await until(async () => (await lab.exec(on, ['nft', 'list', 'ruleset'])).includes('tcp dport 22 accept'), 30_000, 'the rule is in force');
  const screen = pvc.open('network remove office');
  await screen.see('lost with it: 1 access rule, 1 reservation');
  await screen.see('Go on?');
  screen.type('y\r');
  expect(await screen.ended()).toBe(0);
  await until(async () => !(await lab.exec(on, ['ip', '-brief', 'link'])).includes('vmbr5'), 30_000, 'its bridge is gone');
});

test("README's first hour can be typed as it stands there, on a cluster without VMs", async () => {
  const env = { PS1: PROMPT, PVC_API_URL: '', PVC_API_TOKEN: '', PVC_LAB_DIR: lab.place.directory, PVC_LAB_CACHE: lab.place.cache, NO_COLOR: '1' };
  await typeFirstHour(pvc.command.open('bash --norc --noprofile -i', env, 2 * LONG_MS), {
    except: {
      'npm run lab': 'the lab of these tests is up',
      'ln -sf $PWD/dist/client-package/cli/pvc.cjs /usr/local/bin/pvc': "the machine's own folder; the shell here has the command in another one",
    },
  });
});
