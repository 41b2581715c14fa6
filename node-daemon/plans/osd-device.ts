import type { OsdUuid } from '../../common/schema/osd.ts';
import type { BlockDevice, DeviceFacts } from '../drivers/block-device.ts';
import type { ClusterOsd } from '../drivers/osd-cluster.ts';

/**
 * BlueStore has 290 MiB for itself before it holds anything (16.2): it cannot be made on 256 MiB, and 512 MiB are more than half full from the beginning. Ceph's tools call
 * everything below 5 GB too small; 1 GiB works.
 */
export const DEVICE_MIN_BYTES = 1024 ** 3;

/** Loop devices are for labs and tests: nobody has one by accident. */
const TYPES = ['disk', 'loop'];

const IN_USE = 'it is in use';

/**
 * Why this device cannot become the OSD with this UUID; undefined when it can. Ours, in part or whole, is no fault:
 * a making that was cut off goes on. Everything else that is on it is somebody's.
 */
export function deviceFault(device: DeviceFacts, uuid: OsdUuid): string | undefined {
  if (device.kind !== 'device') return ABSENT[device.kind];
  const fault = unfit(device);
  if (fault !== undefined) return fault;
  if (device.label?.uuid === uuid) return undefined;
  if (device.partitions.length > 0) return `it has partitions: ${device.partitions.join(', ')}; only zap destroys them`;
  if (device.signatures.length > 0) return `it is not empty: ${[...new Set(device.signatures)].join(', ')}; only zap destroys that`;
  return device.busy ? IN_USE : undefined;
}

/**
 * Why what is on this device must not be destroyed, even when that is asked for; undefined when it may be.
 * @param holds what the monitors know of the OSD that is on it.
 */
export function zapFault(device: DeviceFacts, holds: ClusterOsd | undefined): string | undefined {
  if (device.kind !== 'device') return ABSENT[device.kind];
  const fault = unfit(device);
  if (fault !== undefined) return fault;
  if (holds !== undefined) return `it holds OSD ${holds.id} of this cluster, which must be removed first`;
  return device.busy ? IN_USE : undefined;
}

const ABSENT = { missing: 'there is no such device on the node', 'not-a-device': 'this is not a block device' } as const;

/** Whatever is on it, it cannot become an OSD. */
function unfit(device: BlockDevice): string | undefined {
  if (!TYPES.includes(device.type)) return `this is not a whole disk but of type ${device.type}`;
  if (device.mounts.length > 0) return `it is mounted: ${device.mounts.join(', ')}`;
  if (device.users.length > 0) return `it is part of something: ${device.users.join(', ')}`;
  if (device.readOnly) return 'it is read-only';
  if (device.sizeBytes < DEVICE_MIN_BYTES) return `it is too small: ${device.sizeBytes} bytes of at least ${DEVICE_MIN_BYTES}`;
  return undefined;
}
