import { delay, systemClock } from '../../common/clock.ts';
import type { Lab } from '../support/lab.ts';
import { until } from '../support/until.ts';
import { figure } from './figure.ts';
import type { LabBench } from './lab-scene.ts';

const VMS = 50;
const GUEST_MIB = 16;
const MEMORY_BAR_MIB = 120;
const CPU_BAR_PERCENT = 2;
const START_LIMIT_MS = 300_000;
const SETTLE_MS = 10_000;
const WATCH_MS = 60_000;
/** USER_HZ (proc(5)): what the kernel counts processor time in for programs, on every Linux of today. */
const TICKS_PER_S = 100;

/** Memory and processor time of a node daemon whose node runs 50 guests that sleep. */
export const daemonIdle: LabBench = {
  name: 'daemon-idle',
  async measure(scene) {
    const [host] = await scene.others();
    const guests = Array.from({ length: VMS }, () => scene.guest(GUEST_MIB));
    for (const guest of guests) await scene.define(guest, host);
    for (const guest of guests) await scene.power(guest, 'start');
    const running = async (): Promise<number> => (await scene.lab.exec(host, ['/usr/bin/virsh', '-q', 'list', '--name'])).split('\n').filter(Boolean).length;
    await until(async () => (await running()) >= VMS, START_LIMIT_MS, `${VMS} guests`);
    const daemon = await daemonOf(scene.lab, host);
    await delay(systemClock, SETTLE_MS);
    const [beganMs, beganTicks] = [systemClock.monotonicMs(), await daemon.ticks()];
    await delay(systemClock, WATCH_MS);
    const cpuS = ((await daemon.ticks()) - beganTicks) / TICKS_PER_S;
    const percent = (100 * cpuS * 1_000) / (systemClock.monotonicMs() - beganMs);
    const memory = await daemon.residentMib();
    if ((await running()) < VMS) throw new Error('a guest ended while it was measured');
    for (const guest of guests) await scene.remove(guest);
    return [figure(`daemon-memory-${VMS}`, memory, 'MiB', MEMORY_BAR_MIB), figure(`daemon-cpu-${VMS}`, percent, '%', CPU_BAR_PERCENT)];
  },
};

interface Daemon {
  /** User and system time of the process and of the children that it waited for. */
  ticks(): Promise<number>;
  residentMib(): Promise<number>;
}

async function daemonOf(lab: Lab, host: string): Promise<Daemon> {
  const status = (await lab.status()).hosts.find((one) => one.name === host);
  const pid = status?.services.find((service) => service.name === 'pvcd')?.pid ?? 0;
  const read = (file: string): Promise<string> => lab.exec(host, ['/bin/cat', `/proc/${pid}/${file}`]);
  return {
    ticks: async () => {
      const stat = await read('stat');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      // Fields 14 to 17 of proc(5), counted from the third, which is the first here.
      return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0);
    },
    residentMib: async () => Number(/^VmRSS:\s+(\d+) kB$/mu.exec(await read('status'))?.[1]) / 1_024,
  };
}
