import { readDomainFacts } from '../../common/domain/domain-xml.ts';
import { AppError } from '../../common/errors.ts';
import type { LibvirtConnection } from '../../common/libvirt/connection.ts';
import { STATS, STATS_FLAGS } from '../../common/libvirt/constants.ts';
import { refOf } from '../../common/libvirt/domain-ref.ts';
import { PROCEDURES } from '../../common/libvirt/procedures.ts';
import { numberOf, type TypedParams } from '../../common/libvirt/typed-param.ts';
import { QUERY_LIMIT } from './domain-view.ts';
import type { GuestDisk } from './hypervisor.ts';

/**
 * The disks of a running domain, by libvirt's own definition of it, with the sizes that QEMU has.
 * @throws AppError 'state' when it does not run.
 */
export async function readGuestDisks(connection: LibvirtConnection, uuid: string): Promise<GuestDisk[]> {
  const domain = refOf(uuid);
  const [xml, records] = await Promise.all([
    connection.call(PROCEDURES.domainGetXmlDesc, { domain, flags: 0 }, QUERY_LIMIT),
    connection.call(PROCEDURES.connectGetAllDomainStats, { domains: [domain], stats: STATS.block, flags: STATS_FLAGS.active }, QUERY_LIMIT),
  ]);
  const [record] = records;
  if (record === undefined) throw new AppError('state', 'the domain does not run', { uuid });
  const sizes = capacities(record.params);
  return readDomainFacts(xml).disks.map(({ dev, type, name }) => ({ dev, type, name, sizeBytes: sizes.get(dev) }));
}

/** `block.N.name` and `block.N.capacity` of virConnectGetAllDomainStats. */
function capacities(params: TypedParams): Map<string, number> {
  const found = new Map<string, number>();
  for (let index = 0; index < (numberOf(params, 'block.count') ?? 0); index += 1) {
    const dev = params.get(`block.${index}.name`);
    const sizeBytes = numberOf(params, `block.${index}.capacity`);
    if (typeof dev === 'string' && sizeBytes !== undefined) found.set(dev, sizeBytes);
  }
  return found;
}
