import { randomBytes, randomInt, randomUUID } from 'node:crypto';
import { z } from 'zod';

/** RFC 4122 text form, lower case: libvirt's own form of a domain's UUID. */
export const vmId = z
  .string()
  .regex(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/u, 'must be a UUID in lower case')
  .brand<'VmId'>();
export type VmId = z.infer<typeof vmId>;

/** A VM's name: also a libvirt domain name, a file name and a host name. At most 63 characters. */
export const vmName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/u, 'must be 1 to 63 letters, digits, dots, dashes or underscores, beginning with a letter or digit')
  .brand<'VmName'>();
export type VmName = z.infer<typeof vmName>;

/** A node's name: one label of a host name (RFC 1123). */
export const nodeName = z
  .string()
  .regex(/^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/u, 'must be a host name of one label')
  .brand<'NodeName'>();
export type NodeName = z.infer<typeof nodeName>;

/** What a task is for, a node's name as it is, and a number: each has room in full. */
export const taskId = z.string().regex(/^[A-Za-z0-9-]{1,96}$/u, 'must be a task id').brand<'TaskId'>();
export type TaskId = z.infer<typeof taskId>;

/** A new random UUID, in lower case. */
export function newUuid(): string {
  return randomUUID();
}

/** A new random UUID. */
export function newVmId(): VmId {
  return vmId.parse(newUuid());
}

/** `byteCount` random bytes as hexadecimal text. */
export function randomToken(byteCount: number): string {
  return randomBytes(byteCount).toString('hex');
}

/** The same items in random order. */
export function shuffled<T>(items: readonly T[]): T[] {
  return items
    .map((item) => ({ item, at: randomInt(2 ** 32) }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}

/** A new random MAC address of the range that QEMU's guests use. */
export function newMacAddress(): string {
  return `52:54:00:${randomBytes(3).toString('hex').match(/../gu)?.join(':') ?? ''}`;
}
