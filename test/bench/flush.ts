import { join } from 'node:path';
import { systemClock } from '../../common/clock.ts';
import { labHosts } from '../../lab/state.ts';
import { until } from '../support/until.ts';
import { figure, median } from './figure.ts';
import { HostLibvirt } from './host-libvirt.ts';
import type { BenchGuest, LabBench, LabScene } from './lab-scene.ts';

const RATIO_BAR = 1.3;
const GUESTS = 8;
const GUEST_MIB = 128;
const ROUNDS = 3;
const START_LIMIT_MS = 120_000;
const FLUSH_LIMIT_MS = 300_000;

/** Flush of a node with eight VMs, and the same eight migrations without the daemon, in turns. */
export const flush: LabBench = {
  name: 'flush',
  async measure(scene) {
    const [source, target] = await scene.others();
    const flushedMs: number[] = [];
    const aloneMs: number[] = [];
    for (let number = 0; number < ROUNDS; number += 1) {
      flushedMs.push(await flushThroughApi(scene, source));
      aloneMs.push(await migrateAlone(scene, source, target));
    }
    return [
      figure('flush-8-through-api', median(flushedMs) / 1_000, 's', null),
      figure('flush-8-by-libvirt-alone', median(aloneMs) / 1_000, 's', null),
      figure('flush-ratio', median(flushedMs) / median(aloneMs), 'times', RATIO_BAR),
    ];
  },
};

async function flushThroughApi(scene: LabScene, source: string): Promise<number> {
  const guests = Array.from({ length: GUESTS }, () => scene.guest(GUEST_MIB));
  for (const guest of guests) await scene.define(guest, source);
  for (const guest of guests) await scene.power(guest, 'start');
  const uuids = guests.map((guest) => guest.uuid);
  await until(() => allRun(scene, source, uuids), START_LIMIT_MS, 'guests to run');
  const beganMs = systemClock.monotonicMs();
  await scene.post(`/node/${source}/domain-state`, { 'domain-state': 'flush' });
  await scene.untilDomainState(source, 'flushed');
  const elapsedMs = systemClock.monotonicMs() - beganMs;
  const left = (await scene.vms()).filter((vm) => vm.node === source || vm.state !== 'start');
  if (left.length > 0) throw new Error(`flushed, and ${left.length} VMs do not run elsewhere`);
  for (const guest of guests) await scene.remove(guest);
  await scene.post(`/node/${source}/domain-state`, { 'domain-state': 'ready' });
  await scene.untilDomainState(source, 'ready');
  return elapsedMs;
}

async function migrateAlone(scene: LabScene, source: string, target: string): Promise<number> {
  const { lab } = scene;
  const guests: BenchGuest[] = Array.from({ length: GUESTS }, () => scene.guest(GUEST_MIB));
  const [from, to] = [await HostLibvirt.open(lab, source), await HostLibvirt.open(lab, target)];
  try {
    for (const guest of guests) await from.create(guest.xml);
    const hosts = labHosts(lab.place, lab.state.nodes);
    const here = hosts.find((host) => host.name === source)?.folder ?? '';
    const address = hosts.find((host) => host.name === target)?.address ?? '';
    const program = join(lab.place.directory, 'app/dist/test/bench/libvirt-flush.js');
    const uuids = guests.map((guest) => guest.uuid);
    const output = await lab.exec(source, [process.execPath, program, join(here, 'etc/pvcd.yaml'), target, address, ...uuids], FLUSH_LIMIT_MS);
    for (const guest of guests) await to.remove(guest.uuid);
    return Number(output);
  } finally {
    from.close();
    to.close();
  }
}

async function allRun(scene: LabScene, host: string, uuids: readonly string[]): Promise<boolean> {
  const running = await scene.lab.exec(host, ['/usr/bin/virsh', '-q', 'list', '--uuid', '--state-running']);
  const shown = (await scene.vms()).every((vm) => vm.state === 'start');
  return shown && uuids.every((uuid) => running.includes(uuid));
}
