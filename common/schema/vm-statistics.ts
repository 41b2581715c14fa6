import { z } from 'zod';

/** Counters of libvirt are 64 bits wide: beyond 2^53 they lose their last digits, which nobody reads. */
function isCounter(value: unknown): boolean {
  return typeof value === 'number' && value >= 0 && value < Infinity;
}

function areCounters(value: unknown, count: number): boolean {
  return Array.isArray(value) && value.length === count && value.every(isCounter);
}

function hasOnly(value: unknown, is: (one: unknown) => boolean): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && Object.values(value).every(is);
}

type Four = [number, number, number, number];

/**
 * What one running guest uses, as libvirt counts since the guest began here. Numbers stand in tuples: there is one of these per VM in
 * one document, and names would be most of it. Lists of numbers are checked as a whole: zod's own tuples and records take four times
 * as long, and the API reads the figures of all guests again and again.
 */
export const vmFigures = z.strictObject({
  /** Processor time in nanoseconds: all of it, in user mode, in the kernel. */
  cpuNs: z.custom<[number, number, number]>((value) => areCounters(value, 3), 'must be three counters'),
  /** KiB, under the names of virDomainMemoryStatTags in lower case; the faults and the time of the last update are plain numbers. */
  memory: z.custom<Record<string, number>>((value) => hasOnly(value, isCounter), 'must be counters by name'),
  /** By target device: read requests, bytes read, write requests, bytes written. */
  disks: z.custom<Record<string, Four>>((value) => hasOnly(value, (one) => areCounters(one, 4)), 'must be four counters for each disk'),
  /** By MAC address: bytes, packets, errors, drops received; then the same sent. */
  interfaces: z.custom<Record<string, [...Four, ...Four]>>((value) => hasOnly(value, (one) => areCounters(one, 8)), 'must be eight counters for each interface'),
  /** Where its screen is served; null: nowhere, or not known yet. */
  vnc: z.strictObject({ listen: z.string(), port: z.int() }).nullable(),
});
export type VmFigures = z.infer<typeof vmFigures>;

/** What the guests of one node use. Written by its node, at most once per keepalive interval; mirrored by the API only. */
export const vmStatistics = z.strictObject({ vms: z.record(z.string(), vmFigures) });
export type VmStatistics = z.infer<typeof vmStatistics>;
