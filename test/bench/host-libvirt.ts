import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { systemClock } from '../../common/clock.ts';
import type { VmId } from '../../common/ids.ts';
import { LibvirtConnection } from '../../common/libvirt/connection.ts';
import { LIFECYCLE_EVENT } from '../../common/libvirt/constants.ts';
import { unixDial } from '../../common/libvirt/dial.ts';
import { refOf } from '../../common/libvirt/domain-ref.ts';
import { PROCEDURES } from '../../common/libvirt/procedures.ts';
import { findHost } from '../../lab/state.ts';
import type { Lab } from '../support/lab.ts';
import { until } from '../support/until.ts';

const CALL = { timeoutMs: 60_000 };
const EVENT_LIMIT_MS = 60_000;

interface Seen {
  uuid: string;
  event: number;
  atMs: number;
}

/** A lab host's libvirt, spoken to from outside the host by itself: for what it says, and for what it does alone. */
export class HostLibvirt {
  readonly #connection: LibvirtConnection;
  readonly #seen: Seen[] = [];

  private constructor(connection: LibvirtConnection) {
    this.#connection = connection;
  }

  /** The host's socket is reached through its process 1's view of the file system. */
  static async open(lab: Lab, host: string): Promise<HostLibvirt> {
    const dial = unixDial(`/proc/${await initPid(lab, host)}/root/run/libvirt/libvirt-sock`);
    const connection = await LibvirtConnection.open({ dial, clock: systemClock, uri: 'qemu:///system' });
    const libvirt = new HostLibvirt(connection);
    connection.listen({
      event: (event) => {
        if (event.kind === 'lifecycle') libvirt.#seen.push({ uuid: event.domain.uuid, event: event.event, atMs: systemClock.monotonicMs() });
      },
    });
    await connection.subscribe(CALL);
    return libvirt;
  }

  /** When libvirt told of this event after `afterMs`, on the monotonic clock; waits for it. */
  async when(uuid: VmId, kind: keyof typeof LIFECYCLE_EVENT, afterMs: number): Promise<number> {
    const find = (): Seen | undefined => this.#seen.find((seen) => seen.uuid === uuid && seen.event === LIFECYCLE_EVENT[kind] && seen.atMs >= afterMs);
    await until(() => find() !== undefined, EVENT_LIMIT_MS, `event '${kind}'`);
    return find()?.atMs ?? Number.NaN;
  }

  /** Defines and starts a domain as the daemon does, without the daemon's mark: the daemon leaves it alone. */
  async create(xml: string): Promise<void> {
    const domain = await this.#connection.call(PROCEDURES.domainDefineXmlFlags, { xml, flags: 0 }, CALL);
    await this.#connection.call(PROCEDURES.domainCreateWithFlags, { domain, flags: 0 }, CALL);
  }

  async remove(uuid: VmId): Promise<void> {
    await this.#connection.call(PROCEDURES.domainDestroyFlags, { domain: refOf(uuid), flags: 0 }, CALL);
    await this.#connection.call(PROCEDURES.domainUndefineFlags, { domain: refOf(uuid), flags: 0 }, CALL);
  }

  close(): void {
    this.#connection.close();
  }
}

const power = z.looseObject({ init: z.looseObject({ pid: z.int() }) });

/** Process 1 of the host as seen from outside of it; the lab notes it when the host is powered on. */
async function initPid(lab: Lab, host: string): Promise<number> {
  const text = await readFile(join(findHost(lab.place, lab.state, host).folder, 'power.json'), 'utf8');
  return power.parse(JSON.parse(text)).init.pid;
}
