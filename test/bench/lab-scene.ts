import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { newVmId, type VmId } from '../../common/ids.ts';
import { bootFloppy } from '../support/boot-sector.ts';
import { startLab, type Lab } from '../support/lab.ts';
import { until } from '../support/until.ts';
import type { Figure } from './figure.ts';
import { BenchClient, type Reply } from './http-client.ts';

export interface LabBench {
  name: string;
  measure(scene: LabScene): Promise<Figure[]>;
}

export interface BenchGuest {
  name: string;
  uuid: VmId;
  xml: string;
}

const NODES = 3;
const STATE_LIMIT_MS = 180_000;

const node = z.looseObject({ name: z.string(), coordinator_state: z.string(), domain_state: z.string(), daemon_state: z.string() });
const vm = z.looseObject({ name: z.string(), state: z.string(), node: z.string() });

/** A lab with guests that sleep: they cost next to nothing, so what is left is what we and libvirt do. */
export class LabScene {
  readonly lab: Lab;
  readonly client: BenchClient;
  readonly #floppy: string;
  #guests = 0;

  constructor(lab: Lab, floppy: string) {
    this.lab = lab;
    this.client = new BenchClient(lab.url, lab.token);
    this.#floppy = floppy;
  }

  guest(memoryMib: number): BenchGuest {
    const name = `bench-${(this.#guests += 1)}`;
    const uuid = newVmId();
    return { name, uuid, xml: sleepingGuest({ name, uuid, memoryMib, floppy: this.#floppy }) };
  }

  async post(path: string, form: Readonly<Record<string, string>>): Promise<Reply> {
    const reply = await this.client.post(`/api/v1${path}`, form);
    if (reply.status !== 200) throw new Error(`POST ${path}: ${reply.status} ${reply.body}`);
    return reply;
  }

  async define(guest: BenchGuest, host: string): Promise<void> {
    await this.post('/vm', { xml: guest.xml, node: host, migration_method: 'live' });
  }

  async power(guest: BenchGuest, state: 'start' | 'stop'): Promise<void> {
    await this.post(`/vm/${guest.name}/state`, { state });
  }

  /** By forced stop; resolves when the VM is forgotten. */
  async remove(guest: BenchGuest): Promise<void> {
    const reply = await this.lab.call('DELETE', `/api/v1/vm/${guest.name}`);
    if (reply.status !== 200) throw new Error(`DELETE: ${reply.status} ${JSON.stringify(reply.body)}`);
    await until(async () => (await this.client.get(`/api/v1/vm/${guest.name}`)).status === 404, STATE_LIMIT_MS, 'removal of a VM');
  }

  async nodes(): Promise<z.infer<typeof node>[]> {
    return z.array(node).parse(JSON.parse((await this.client.get('/api/v1/node')).body));
  }

  async vms(): Promise<z.infer<typeof vm>[]> {
    return z.array(vm).parse(JSON.parse((await this.client.get('/api/v1/vm')).body));
  }

  /** Hosts that are not primary, so that a request has to cross the network. */
  async others(): Promise<[string, string]> {
    const [first, second] = (await this.nodes()).filter((one) => one.coordinator_state !== 'primary').map((one) => one.name);
    if (first === undefined || second === undefined) throw new Error('the lab has too few nodes');
    return [first, second];
  }

  async untilDomainState(host: string, state: string): Promise<void> {
    await until(async () => (await this.nodes()).some((one) => one.name === host && one.domain_state === state), STATE_LIMIT_MS, `${host} ${state}`);
  }
}

export async function runLabBenches(benches: readonly LabBench[], report: (figures: readonly Figure[]) => void): Promise<void> {
  if (benches.length === 0) return;
  const lab = await startLab({ nodes: NODES });
  try {
    const floppy = join(lab.place.directory, 'bench-floppy.img');
    await writeFile(floppy, bootFloppy());
    const scene = new LabScene(lab, floppy);
    await until(async () => (await scene.nodes()).every((one) => one.domain_state === 'ready' && one.daemon_state === 'run'), STATE_LIMIT_MS, 'nodes to be ready');
    try {
      for (const bench of benches) report(await bench.measure(scene));
    } finally {
      scene.client.close();
    }
  } finally {
    await lab.stop();
  }
}

function sleepingGuest({ name, uuid, memoryMib, floppy }: { name: string; uuid: VmId; memoryMib: number; floppy: string }): string {
  return `<domain type='qemu'><name>${name}</name><uuid>${uuid}</uuid>
  <memory unit='MiB'>${memoryMib}</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type><boot dev='fd'/></os><features><acpi/></features>
  <on_poweroff>destroy</on_poweroff><on_crash>destroy</on_crash>
  <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='floppy'><driver name='qemu' type='raw'/><source file='${floppy}'/><target dev='fda' bus='fdc'/><readonly/></disk>
    <serial type='pty'/><controller type='usb' model='none'/><memballoon model='none'/></devices></domain>`;
}
