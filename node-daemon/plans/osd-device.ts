import type { OsdUuid } from '../../common/schema/osd.ts';
import type { DeviceFacts } from '../drivers/block-device.ts';

/**
 * BlueStore has 290 MiB for itself before it holds anything (16.2): it cannot be made on 256 MiB, and 512 MiB are more than half full from the beginning. Ceph's tools call
 * everything below 5 GB too small; 1 GiB works.
 */
export const DEVICE_MIN_BYTES = 1024 ** 3;

/** Loop devices are for labs and tests: nobody has one by accident. */
const TYPES = ['disk', 'loop'];

/**
 * Why this device cannot become the OSD with this UUID; undefined when it can. Ours, in part or whole, is no fault:
 * a making that was cut off goes on. Everything else that is on it is somebody's.
 */
export function deviceFault(device: DeviceFacts, uuid: OsdUuid): string | undefined {
  if (device.kind === 'missing') return 'there is no such device on the node';
  if (device.kind === 'not-a-device') return 'this is not a block device';
  if (!TYPES.includes(device.type)) return `this is not a whole disk but of type ${device.type}`;
  if (device.mounts.length > 0) return `it is mounted: ${device.mounts.join(', ')}`;
  if (device.users.length > 0) return `it has partitions or is part of something: ${device.users.join(', ')}`;
  if (device.readOnly) return 'it is read-only';
  if (device.sizeBytes < DEVICE_MIN_BYTES) return `it is too small: ${device.sizeBytes} bytes of at least ${DEVICE_MIN_BYTES}`;
  if (device.label?.uuid === uuid) return undefined;
  if (device.signatures.length > 0) return `it is not empty: ${[...new Set(device.signatures)].join(', ')}; wipefs --all on the node empties it`;
  return device.busy ? 'it is in use' : undefined;
}
