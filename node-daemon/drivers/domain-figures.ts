import { readLiveDevices, type LiveDevices } from '../../common/domain/domain-xml.ts';
import { describeError } from '../../common/errors.ts';
import { vmId } from '../../common/ids.ts';
import type { LibvirtConnection } from '../../common/libvirt/connection.ts';
import { STATS, STATS_FLAGS } from '../../common/libvirt/constants.ts';
import type { DomainRef } from '../../common/libvirt/domain-ref.ts';
import { PROCEDURES, type DomainStatsRecord } from '../../common/libvirt/procedures.ts';
import { numberOf, type TypedParams } from '../../common/libvirt/typed-param.ts';
import type { Logger } from '../../common/log.ts';
import type { VmFigures } from '../../common/schema/vm-statistics.ts';
import { QUERY_LIMIT } from './domain-view.ts';
import type { DomainStats } from './hypervisor.ts';

const KIB_PER_MIB = 1_024;

const ALL_STATS = STATS.state | STATS.cpuTotal | STATS.balloon | STATS.vcpu | STATS.interface | STATS.block;

const MEMORY_PREFIX = 'balloon.';

/** Of the run with libvirt's number `id`; a guest that begins anew, or arrives, gets another. */
interface Held {
  readonly id: number;
  /** Undefined while they are being read. */
  devices?: LiveDevices | undefined;
  figures?: VmFigures;
}

/** The figures of all running domains in one call. What libvirt cannot tell now, because the guest's QEMU is busy, stays as it was. */
export class DomainFigures {
  readonly #log: Logger;
  readonly #held = new Map<string, Held>();

  constructor(log: Logger) {
    this.#log = log;
  }

  async read(connection: LibvirtConnection): Promise<readonly DomainStats[]> {
    const args = { domains: [], stats: ALL_STATS, flags: STATS_FLAGS.active | STATS_FLAGS.noWait };
    const records = await connection.call(PROCEDURES.connectGetAllDomainStats, args, QUERY_LIMIT);
    const running = new Set(records.map(({ domain }) => domain.uuid));
    for (const uuid of [...this.#held.keys()]) if (!running.has(uuid)) this.#held.delete(uuid);
    return records.map((record) => this.#toStats(connection, record));
  }

  #toStats(connection: LibvirtConnection, { domain, params }: DomainStatsRecord): DomainStats {
    const held = this.#heldOf(connection, domain);
    const fresh = readFigures(params, held.devices);
    const figures = held.figures === undefined ? fresh : merge(held.figures, fresh);
    held.figures = figures;
    return {
      uuid: vmId.parse(domain.uuid),
      vcpus: numberOf(params, 'vcpu.current') ?? 0,
      memoryMib: Math.round((numberOf(params, 'balloon.current') ?? 0) / KIB_PER_MIB),
      figures,
    };
  }

  #heldOf(connection: LibvirtConnection, domain: DomainRef): Held {
    const known = this.#held.get(domain.uuid);
    if (known?.id === domain.id) return known;
    const held: Held = { id: domain.id };
    this.#held.set(domain.uuid, held);
    void this.#learn(connection, domain, held);
    return held;
  }

  /** Once per run, and not waited for: the definition of a guest whose QEMU hangs may take long, and the others' figures do not wait. */
  async #learn(connection: LibvirtConnection, domain: DomainRef, held: Held): Promise<void> {
    try {
      held.devices = readLiveDevices(await connection.call(PROCEDURES.domainGetXmlDesc, { domain, flags: 0 }, QUERY_LIMIT));
    } catch (error) {
      if (this.#held.get(domain.uuid) === held) this.#held.delete(domain.uuid);
      this.#log.debug({ vm: domain.uuid, why: describeError(error) }, "the guest's devices could not be read; they are in the next round");
    }
  }
}

/** The parameters of virConnectGetAllDomainStats (libvirt-domain.h). Interfaces come in the order of the definition, without their MACs. */
function readFigures(params: TypedParams, devices: LiveDevices | undefined): VmFigures {
  const number = (field: string): number => numberOf(params, field) ?? 0;
  return {
    cpuNs: [number('cpu.time'), number('cpu.user'), number('cpu.system')],
    memory: readMemory(params),
    disks: readDisks(params),
    interfaces: Object.fromEntries((devices?.macs ?? []).flatMap((mac, index) => readInterface(params, mac, index))),
    vnc: devices?.vnc ?? null,
  };
}

function readMemory(params: TypedParams): VmFigures['memory'] {
  const memory: VmFigures['memory'] = {};
  for (const field of params.keys()) {
    const value = field.startsWith(MEMORY_PREFIX) ? numberOf(params, field) : undefined;
    if (value !== undefined) memory[memoryName(field.slice(MEMORY_PREFIX.length))] = value;
  }
  return memory;
}

/** The names of the older call for one domain, which existing clients know. */
function memoryName(field: string): string {
  return field === 'current' ? 'actual' : field.replaceAll('-', '_');
}

function readDisks(params: TypedParams): VmFigures['disks'] {
  const disks: VmFigures['disks'] = {};
  for (let index = 0; index < (numberOf(params, 'block.count') ?? 0); index += 1) {
    const of = (field: string): number | undefined => numberOf(params, `block.${index}.${field}`);
    const dev = params.get(`block.${index}.name`);
    const requests = of('rd.reqs');
    if (typeof dev === 'string' && requests !== undefined) disks[dev] = [requests, of('rd.bytes') ?? 0, of('wr.reqs') ?? 0, of('wr.bytes') ?? 0];
  }
  return disks;
}

function readInterface(params: TypedParams, mac: string, index: number): [string, VmFigures['interfaces'][string]][] {
  if (numberOf(params, `net.${index}.rx.bytes`) === undefined) return [];
  const of = (field: string): number => numberOf(params, `net.${index}.${field}`) ?? 0;
  return [[mac, [of('rx.bytes'), of('rx.pkts'), of('rx.errs'), of('rx.drop'), of('tx.bytes'), of('tx.pkts'), of('tx.errs'), of('tx.drop')]]];
}

function merge(before: VmFigures, now: VmFigures): VmFigures {
  return {
    cpuNs: now.cpuNs,
    memory: { ...before.memory, ...now.memory },
    disks: { ...before.disks, ...now.disks },
    interfaces: { ...before.interfaces, ...now.interfaces },
    vnc: now.vnc,
  };
}
