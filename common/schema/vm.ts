import { z } from 'zod';
import { nodeName, vmId, vmName } from '../ids.ts';
import { macAddress, vni } from './network.ts';

/** How a node is chosen: most free memory, most unprovisioned memory, fewest vCPUs, least load, fewest VMs. */
export const selector = z.enum(['mem', 'memprov', 'vcpus', 'load', 'vms']);
export type Selector = z.infer<typeof selector>;

/** What a person last asked of the VM, in the API's words. A higher generation is a newer request. */
const powerRequest = z.strictObject({
  action: z.enum(['start', 'restart', 'shutdown', 'stop', 'disable']),
  generation: z.int().min(0),
});
export type PowerRequest = z.infer<typeof powerRequest>;

/**
 * The sizes that volumes of the VM were last given, by `pool/volume`, in bytes, as far as its guest may not have been told. A higher
 * generation is a newer change.
 */
const growthRequest = z.strictObject({
  sizes: z.record(z.string(), z.int().min(1)),
  generation: z.int().min(0),
});
export type GrowthRequest = z.infer<typeof growthRequest>;

/**
 * How the VM may get to `node` when it runs elsewhere: `live` only live, `shutdown` shut down and start there,
 * `any` live, and shut down and start when live fails.
 */
export const migrationMethod = z.enum(['live', 'shutdown', 'any']);
export type MigrationMethod = z.infer<typeof migrationMethod>;

export const tag = z.strictObject({ name: z.string().regex(/^[A-Za-z0-9._-]{1,64}$/u), protected: z.boolean() });
export type Tag = z.infer<typeof tag>;

/** A user's tags, at most; a VM list shows them all. */
export const TAGS_MAX = 64;

/** Libvirt's XML of one domain, at most: a tenth of what a znode holds, and more than any real domain has. */
export const XML_MAX_BYTES = 100_000;

/** An interface that is plugged into a network of the cluster. */
export const vmInterface = z.strictObject({ mac: macAddress, vni });
export type VmInterface = z.infer<typeof vmInterface>;

/** Desired state of one VM. Written only by common/operations/vm.ts. */
export const vmSpec = z.strictObject({
  uuid: vmId,
  name: vmName,
  /** The domain as the user wrote it. */
  xml: z.string().max(XML_MAX_BYTES),
  /** Facts of the XML that decisions need. */
  memoryMib: z.int().min(1),
  vcpus: z.int().min(1),
  interfaces: z.array(vmInterface),
  /** Where the VM shall run, or where it runs next when it is off. */
  node: nodeName,
  /** Where `unmigrate` and the node's `ready` bring it back to; null when it is at home. */
  homeNode: nodeName.nullable(),
  /** Counts the changes of `node`, how the last one may be carried out, and the home to restore when it fails. */
  placement: z.strictObject({ generation: z.int().min(0), method: migrationMethod, previousHome: nodeName.nullable() }),
  power: powerRequest,
  /** Documents of before there was this have no growth. */
  growth: growthRequest.default({ sizes: {}, generation: 0 }),
  /** Nodes it may run on; null: any. */
  nodeLimit: z.array(nodeName).min(1).nullable(),
  selector: selector.nullable(),
  /** Started once when its node becomes ready. */
  autostart: z.boolean(),
  /** The VM's own rule, used when a request names none; null: `any`. */
  migrationMethod: migrationMethod.nullable(),
  /** Longest permitted pause at the switch-over of a live migration, in milliseconds. */
  migrationMaxDowntimeMs: z.int().min(1).max(60_000),
  /** What a flush does when no node has room: `block` it, or `shutdown` the VM and start it again when the node is ready. */
  onFlushBlocked: z.enum(['block', 'shutdown']),
  profile: z.string().nullable(),
  tags: z.array(tag).max(TAGS_MAX),
  /** Set once the VM is to be stopped by force and forgotten. */
  deletion: z.strictObject({ disks: z.boolean() }).nullable(),
});
export type VmSpec = z.infer<typeof vmSpec>;

/** Peer default of the field; QEMU's own is 300 ms too. */
export const MIGRATION_MAX_DOWNTIME_DEFAULT_MS = 300;

/** Index from name to VM, created before the VM and swept when the VM never came. */
export const vmNameIndex = z.strictObject({ uuid: vmId });
