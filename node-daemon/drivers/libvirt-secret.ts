import type { Clock } from '../../common/clock.ts';
import { isAppError } from '../../common/errors.ts';
import type { CallLimit, LibvirtConnection } from '../../common/libvirt/connection.ts';
import { unixDial } from '../../common/libvirt/dial.ts';
import { PROCEDURES } from '../../common/libvirt/procedures.ts';
import { OnDemandConnection } from './libvirt-session.ts';

/** The secret driver answers in any of libvirt's connections; it has one of its own too. */
const LIBVIRT_URI = 'secret:///system';

const CALL_LIMIT: CallLimit = { timeoutMs: 15_000 };

/** libvirt's secrets of this host, over its RPC. */
export class LibvirtSecrets {
  readonly #connection: OnDemandConnection;

  constructor(deps: { clock: Clock; libvirtSocket: string }) {
    this.#connection = new OnDemandConnection({ dial: unixDial(deps.libvirtSocket), clock: deps.clock, uri: LIBVIRT_URI });
  }

  /**
   * Has a private secret for Ceph with this UUID, which no client can read, and gives it this value. libvirt does not tell the value of such a secret, so it
   * is set whether it is right or not; a definition that is there is kept.
   * @throws AppError as the connection does.
   */
  async set(uuid: string, value: Uint8Array): Promise<void> {
    const connection = await this.#connection.get();
    if (!(await exists(connection, uuid))) await connection.call(PROCEDURES.secretDefineXml, { xml: secretXml(uuid), flags: 0 }, CALL_LIMIT);
    await connection.call(PROCEDURES.secretSetValue, { secret: { uuid, usageType: 0, usageId: '' }, value, flags: 0 }, CALL_LIMIT);
  }

  async stop(): Promise<void> {
    await this.#connection.stop();
  }
}

async function exists(connection: LibvirtConnection, uuid: string): Promise<boolean> {
  try {
    await connection.call(PROCEDURES.secretLookupByUuid, uuid, CALL_LIMIT);
    return true;
  } catch (error) {
    if (isAppError(error, 'not-found')) return false;
    throw error;
  }
}

/** The usage is a name that no two secrets may have. */
function secretXml(uuid: string): string {
  return `<secret ephemeral='no' private='yes'><uuid>${uuid}</uuid><description>key of guests' disks, kept by pvcd</description><usage type='ceph'><name>pvc ${uuid}</name></usage></secret>`;
}
