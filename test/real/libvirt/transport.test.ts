import { readdir, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../../common/clock.ts';
import { toAppError } from '../../../common/errors.ts';
import { newVmId, type VmId } from '../../../common/ids.ts';
import { LibvirtConnection } from '../../../common/libvirt/connection.ts';
import { unixDial, type Dial } from '../../../common/libvirt/dial.ts';
import { FrameReader, KEEPALIVE_PROGRAM } from '../../../common/libvirt/frame.ts';
import { PROCEDURES } from '../../../common/libvirt/procedures.ts';
import type { Hypervisor } from '../../../node-daemon/drivers/hypervisor.ts';
import { guestXml, libvirtMissing } from '../../support/libvirtd.ts';
import { until } from '../../support/until.ts';
import { libvirtFixture, type LibvirtFixture } from './fixture.ts';

const LIMIT_MS = 60_000;

/** Places of migration-link.ts, which operators see and AppArmor knows. */
const CONTROL_DIR = '/run/pvc/libvirt';
const MEMORY_DIR = '/run/libvirt/pvc';

const MOVE = { target: 'beta', maxDowntimeMs: 300, autoConverge: false };

describe.skipIf(libvirtMissing() !== undefined)('libvirt on real hosts', () => {
  let fixture: LibvirtFixture;
  let alpha: Hypervisor;
  let beta: Hypervisor;

  beforeAll(async () => {
    fixture = await libvirtFixture();
    [alpha, beta] = [fixture.hosts[0].hypervisor, fixture.hosts[1].hypervisor];
  });

  afterAll(async () => fixture?.stop());

  afterEach(async () => {
    fixture.slowMigrations(false);
    for (const { hypervisor } of fixture.hosts) {
      for (const domain of await hypervisor.list()) {
        await hypervisor.destroy(domain.uuid);
        await hypervisor.forget(domain.uuid);
      }
    }
  });

  const socketOf = (host: string): string => `${fixture.byName(host).root}/run/libvirt/libvirt-sock`;

  const open = (dial: Dial): Promise<LibvirtConnection> => LibvirtConnection.open({ dial, clock: systemClock, uri: 'qemu:///system' });

  const started = async (name: string): Promise<VmId> => {
    const uuid = newVmId();
    await alpha.create(uuid, fixture.domainXml(uuid, name));
    return uuid;
  };

  const underWay = async (uuid: VmId): Promise<void> =>
    until(async () => ((await alpha.migrationProgress(uuid))?.bytesTotal ?? 0) > 0, LIMIT_MS, 'migration under way');

  const sockets = async (host: string): Promise<string[]> => {
    const { root } = fixture.byName(host);
    return [...(await readdir(root + CONTROL_DIR)), ...(await readdir(root + MEMORY_DIR))];
  };

  const codeOf = async (work: Promise<unknown>): Promise<string> => work.then(() => 'none', (error: unknown) => toAppError(error).code);

  test('the hosts are not the machine: they have no network of it', async () => {
    expect(await fixture.byName('alpha').exec('ip', '-br', 'link')).not.toMatch(/eth0|ens|enp/u);
    expect(await fixture.byName('alpha').exec('hostname')).toBe('alpha');
  });

  test('libvirt’s pings are answered: an idle connection outlives many of them', async () => {
    let pings = 0;
    const counting: Dial = async (signal) => {
      const stream = await unixDial(socketOf('alpha'))(signal);
      const frames = new FrameReader();
      stream.on('data', (chunk: Buffer) => {
        pings += frames.push(Buffer.from(chunk)).filter((frame) => frame.program === KEEPALIVE_PROGRAM && frame.procedure === 1).length;
      });
      return stream;
    };
    const connection = await open(counting);
    // The daemon of the tests pings each second and gives a client up after two without an answer.
    await until(() => pings >= 5, LIMIT_MS, 'five pings');
    expect(await connection.call(PROCEDURES.connectGetHostname, undefined, { timeoutMs: 5_000 })).toBe('alpha');
    connection.close();
  });

  test('libvirt drops a connection with a malformed frame, and ours beside it lives on', async () => {
    const healthy = await open(unixDial(socketOf('alpha')));
    const stream = await unixDial(socketOf('alpha'))(AbortSignal.timeout(5_000));
    let closed = false;
    stream.on('close', () => {
      closed = true;
    });
    stream.resume();
    stream.write(Buffer.from('ffffffff00000000', 'hex'));
    await until(() => closed, LIMIT_MS, 'dropped');
    expect(await healthy.call(PROCEDURES.connectGetHostname, undefined, { timeoutMs: 5_000 })).toBe('alpha');
    healthy.close();
  });

  test('nobody at the socket is unavailable', async () => {
    expect(await codeOf(open(unixDial(`${fixture.byName('alpha').root}/run/absent`)))).toBe('unavailable');
  });

  test('questions are answered while more guests are being ended than libvirt serves at once', async () => {
    const uuids = await Promise.all(Array.from({ length: 7 }, (_none, index) => started(`many-${index}`)));
    let ended = 0;
    const destroys = uuids.map(async (uuid) => {
      await alpha.destroy(uuid);
      ended += 1;
    });
    await alpha.find(newVmId());
    expect(ended).toBe(0);
    await Promise.all(destroys);
  });

  test('a domain that somebody else redefines without our mark is foreign from then on', async () => {
    const uuid = await started('redefined');
    await alpha.destroy(uuid);
    expect((await alpha.find(uuid))?.ours).toBe(true);
    const file = path.join(fixture.lab.folder, 'redefined.xml');
    await writeFile(file, guestXml(fixture.lab, { uuid, name: 'redefined' }));
    await fixture.byName('alpha').exec('virsh', '-q', 'define', file);
    await until(async () => (await alpha.find(uuid))?.ours === false, LIMIT_MS, 'foreign');
  });

  test('a migration listens on no network, on neither side, and leaves no socket behind', async () => {
    fixture.slowMigrations(true);
    const uuid = await started('quiet');
    const moved = alpha.migrate(uuid, MOVE, new AbortController().signal);
    await underWay(uuid);
    for (const host of ['alpha', 'beta']) expect(await fixture.byName(host).exec('ss', '-Hltnu')).toBe('');
    expect((await sockets('alpha')).length).toBe(2);
    expect(await sockets('beta')).toEqual([expect.stringMatching(/^[0-9a-f]{6}\.tunnelmigrate\.dest\.quiet$/u)]);
    fixture.slowMigrations(false);
    await moved;
    await until(async () => (await sockets('beta')).length === 0, LIMIT_MS, 'target tidied');
    expect(await sockets('alpha')).toEqual([]);
  });

  test('only root gets at the control sockets; QEMU may make its own memory socket and no more', async () => {
    const { root } = fixture.byName('beta');
    const control = await stat(root + CONTROL_DIR);
    const memory = await stat(root + MEMORY_DIR);
    const qemu = await stat(`${root}/var/lib/libvirt/qemu`);
    expect([control.uid, control.mode & 0o7777]).toEqual([0, 0o700]);
    expect([memory.uid, memory.gid, memory.mode & 0o7777]).toEqual([0, qemu.gid, 0o1730]);
    expect(qemu.uid).not.toBe(0);
  });

  test('a peer with another host key is unauthenticated, and the guest stays', async () => {
    const uuid = await started('pinned');
    const peers = (): { address: string; port: number; user: string; hostKeys: string[] } => ({ address: 'beta', port: 22, user: 'root', hostKeys: [fixture.byName('alpha').hostKey] });
    const wrong = fixture.driver('alpha', { peers });
    await wrong.start(new AbortController().signal);
    expect(await codeOf(wrong.migrate(uuid, MOVE, new AbortController().signal))).not.toBe('none');
    expect(await codeOf(wrong.findOnPeer('beta', uuid))).toBe('unauthenticated');
    await wrong.stop();
    expect((await alpha.find(uuid))?.state).toBe('running');
  });

  test('when the link breaks in the middle, the guest runs on here and is gone there', async () => {
    fixture.slowMigrations(true);
    const uuid = await started('broken');
    const moved = codeOf(alpha.migrate(uuid, MOVE, new AbortController().signal));
    await underWay(uuid);
    fixture.cutLinks();
    expect(await moved).not.toBe('none');
    expect(await alpha.find(uuid)).toMatchObject({ state: 'running', incoming: false });
    await until(async () => (await beta.find(uuid)) === undefined, LIMIT_MS, 'gone on the target');
    await until(async () => (await sockets('beta')).length === 0, LIMIT_MS, 'target tidied');
    fixture.slowMigrations(false);
    await alpha.migrate(uuid, MOVE, new AbortController().signal);
    expect((await beta.find(uuid))?.state).toBe('running');
  });

  test('when the target’s libvirt dies in the middle, the guest runs on here', async () => {
    fixture.slowMigrations(true);
    const uuid = await started('orphan');
    const moved = codeOf(alpha.migrate(uuid, MOVE, new AbortController().signal));
    await underWay(uuid);
    await fixture.hosts[1].stopDaemon();
    expect(await moved).not.toBe('none');
    expect(await alpha.find(uuid)).toMatchObject({ state: 'running' });
    await fixture.hosts[1].startDaemon();
    await until(async () => (await codeOf(beta.list())) === 'none', LIMIT_MS, 'target back');
    await until(async () => (await sockets('beta')).length === 0, LIMIT_MS, 'target tidied');
  });

  test('when this host’s own libvirt dies in the middle, the outcome is unknown, and the guest is found running here', async () => {
    fixture.slowMigrations(true);
    const uuid = await started('unknown');
    const moved = codeOf(alpha.migrate(uuid, MOVE, new AbortController().signal));
    await underWay(uuid);
    await fixture.hosts[0].stopDaemon();
    expect(await moved).toBe('unknown-outcome');
    await fixture.hosts[0].startDaemon();
    await until(async () => (await codeOf(alpha.list())) === 'none', LIMIT_MS, 'libvirt back');
    await until(async () => (await alpha.find(uuid))?.state === 'running', LIMIT_MS, 'running here');
    await until(async () => (await alpha.findOnPeer('beta', uuid)) === undefined, LIMIT_MS, 'gone on the target');
  });

  test('a driver that stops ends its migration, and the guest runs on here', async () => {
    fixture.slowMigrations(true);
    const uuid = await started('left');
    const other = fixture.driver('alpha', {});
    await other.start(new AbortController().signal);
    const moved = codeOf(other.migrate(uuid, MOVE, new AbortController().signal));
    await underWay(uuid);
    await other.stop();
    expect(await moved).not.toBe('none');
    await until(async () => (await alpha.migrationProgress(uuid)) === undefined, LIMIT_MS, 'migration over');
    expect((await alpha.find(uuid))?.state).toBe('running');
  });

  test('the permitted pause is set from the beginning, and can be changed on the way', async () => {
    fixture.slowMigrations(true);
    const uuid = await started('pause');
    const connection = await open(unixDial(socketOf('alpha')));
    const permitted = (): Promise<number> =>
      connection.call(PROCEDURES.domainMigrateGetMaxDowntime, { domain: { name: '', uuid, id: -1 }, flags: 0 }, { timeoutMs: 5_000 });
    const moved = alpha.migrate(uuid, { ...MOVE, maxDowntimeMs: 123 }, new AbortController().signal);
    await underWay(uuid);
    expect(await permitted()).toBe(123);
    await alpha.setMaxDowntime(uuid, 4_567);
    expect(await permitted()).toBe(4_567);
    fixture.slowMigrations(false);
    await moved;
    connection.close();
  });

  test('firmware variables stay while a domain is defined anew or moves, and go when it is forgotten', async () => {
    const { root } = fixture.byName('alpha');
    const nvram = '/var/lib/libvirt/qemu/nvram/firmware_VARS.fd';
    const template = path.join(fixture.lab.folder, 'vars.fd');
    await writeFile(template, Buffer.alloc(65_536, 1), { mode: 0o644 });
    const os = `<loader readonly='yes' type='pflash'>/usr/share/seabios/bios-256k.bin</loader><nvram template='${template}'>${nvram}</nvram>`;
    const uuid = newVmId();
    await alpha.create(uuid, guestXml(fixture.lab, { uuid, name: 'firmware', os }));
    await alpha.destroy(uuid);
    await alpha.create(uuid, guestXml(fixture.lab, { uuid, name: 'renamed', os }));
    expect((await stat(root + nvram)).size).toBe(65_536);
    await alpha.migrate(uuid, MOVE, new AbortController().signal);
    expect((await stat(fixture.byName('beta').root + nvram)).size).toBe(65_536);
    await beta.destroy(uuid);
    await beta.forget(uuid);
    expect(await codeOf(stat(fixture.byName('beta').root + nvram))).not.toBe('none');
  });
});
