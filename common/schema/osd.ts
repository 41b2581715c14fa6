import { z } from 'zod';
import { nodeName } from '../ids.ts';

/** An OSD's own UUID (its fsid); the request that adds it makes it, so each step of the work can tell whether it was done. */
export const osdUuid = z
  .string()
  .regex(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/u, 'must be a UUID in lower case')
  .brand<'OsdUuid'>();
export type OsdUuid = z.infer<typeof osdUuid>;

/** The number that the monitors give. 10000 is beyond any cluster of hyperconverged nodes, and below what Ceph allows. */
export const osdId = z.int().min(0).max(10_000).brand<'OsdId'>();
export type OsdId = z.infer<typeof osdId>;

/** udev's longest names under /dev/disk are about 100 characters. */
const DEVICE_MAX_CHARS = 200;

/** A path below /dev. Each part begins with a letter or digit: there is no `..`, and no part looks like an option. */
export const devicePath = z
  .string()
  .max(DEVICE_MAX_CHARS, 'is too long for a device')
  .regex(/^\/dev(\/[A-Za-z0-9][A-Za-z0-9._:+=@-]*)+$/u, 'must be the path of a device below /dev')
  .brand<'DevicePath'>();
export type DevicePath = z.infer<typeof devicePath>;

/** CRUSH weight: 1.0 is one TiB by custom. Zero takes part and holds nothing. */
export const osdWeight = z.number().min(0, 'must not be negative').max(100_000, 'is too large for a weight');

/** An OSD that a node shall have. One document for each device of a node. */
export const osdSpec = z.strictObject({
  uuid: osdUuid,
  node: nodeName,
  device: devicePath,
  weight: osdWeight,
  /** What is on the device was to be destroyed for it. */
  zap: z.boolean().default(false),
  /** Of the newest request; names its task. */
  generation: z.int().min(1),
  /** `force`: also when data would be lost. */
  removal: z.strictObject({ force: z.boolean() }).nullable(),
});
export type OsdSpec = z.infer<typeof osdSpec>;

/** What its node's daemon has made of it. */
export const osdStatus = z.strictObject({
  uuid: osdUuid,
  node: nodeName,
  device: devicePath,
  /** null: the monitors have not given one yet. */
  id: osdId.nullable(),
  /** `adding`: it is not an OSD yet. `stopped`: it should run and does not. */
  phase: z.enum(['adding', 'running', 'stopped', 'removing']),
  error: z.string().nullable(),
});
export type OsdStatus = z.infer<typeof osdStatus>;

/** Id of the document of a node's device. No name of a device has an exclamation mark, none of a node a colon. */
export function osdKey(node: string, device: DevicePath): string {
  return `${node}:${device.slice('/dev/'.length).replaceAll('/', '!')}`;
}

/** What is done to add an OSD, in this order; `zap` only when that was asked for, `clean-up` only when one of the others failed. */
export const OSD_ADD_STEPS = ['check', 'zap', 'register', 'prepare', 'place', 'start', 'join', 'clean-up'] as const;
export type OsdAddStep = (typeof OSD_ADD_STEPS)[number];

/** What is done to remove an OSD, in this order; `restore` only when it has to stay. */
export const OSD_REMOVE_STEPS = ['out', 'drain', 'stop', 'purge', 'wipe', 'restore'] as const;
export type OsdRemoveStep = (typeof OSD_REMOVE_STEPS)[number];
