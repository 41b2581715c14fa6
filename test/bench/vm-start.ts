import { systemClock } from '../../common/clock.ts';
import { figure, median } from './figure.ts';
import { HostLibvirt } from './host-libvirt.ts';
import type { LabBench, LabScene } from './lab-scene.ts';

const TO_CREATE_BAR_MS = 25;
const RATIO_BAR = 1.1;
const ROUNDS = 15;
const GUEST_MIB = 64;

interface Round {
  /** From before the POST until libvirt has the definition, which directly precedes the call that starts it. */
  toCreateMs: number;
  /** From before the POST until libvirt tells that the guest was started. */
  throughApiMs: number;
  /** From before the same definition is given to libvirt by hand until libvirt tells that the guest was started. */
  aloneMs: number;
}

/** Starts of a VM on another node than the API's, and the same by libvirt alone, in turns. */
export const vmStart: LabBench = {
  name: 'vm-start',
  async measure(scene) {
    const [host] = await scene.others();
    const libvirt = await HostLibvirt.open(scene.lab, host);
    try {
      const rounds: Round[] = [];
      for (let number = 0; number <= ROUNDS; number += 1) rounds.push(await round(scene, host, libvirt));
      // The first warms everything up.
      const counted = rounds.slice(1);
      const ratio = median(counted.map((one) => one.throughApiMs)) / median(counted.map((one) => one.aloneMs));
      return [
        figure('post-to-create', median(counted.map((one) => one.toCreateMs)), 'ms', TO_CREATE_BAR_MS),
        figure('start-through-api', median(counted.map((one) => one.throughApiMs)), 'ms', null),
        figure('start-by-libvirt-alone', median(counted.map((one) => one.aloneMs)), 'ms', null),
        figure('start-ratio', ratio, 'times', RATIO_BAR),
      ];
    } finally {
      libvirt.close();
    }
  },
};

async function round(scene: LabScene, host: string, libvirt: HostLibvirt): Promise<Round> {
  const guest = scene.guest(GUEST_MIB);
  await scene.define(guest, host);
  const postedMs = systemClock.monotonicMs();
  await scene.power(guest, 'start');
  const startedMs = await libvirt.when(guest.uuid, 'started', postedMs);
  const definedMs = await libvirt.when(guest.uuid, 'defined', postedMs);
  await scene.remove(guest);
  await libvirt.when(guest.uuid, 'undefined', startedMs);
  const bareMs = systemClock.monotonicMs();
  await libvirt.create(guest.xml);
  const bareStartedMs = await libvirt.when(guest.uuid, 'started', bareMs);
  await libvirt.remove(guest.uuid);
  return { toCreateMs: definedMs - postedMs, throughApiMs: startedMs - postedMs, aloneMs: bareStartedMs - bareMs };
}
