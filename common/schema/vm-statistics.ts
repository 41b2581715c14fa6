import { z } from 'zod';

/** Counters of libvirt are 64 bits wide: beyond 2^53 they lose their last digits, which nobody reads. */
const counter = z.number().min(0);

/**
 * What one running guest uses, as libvirt counts since the guest began here. Numbers stand in tuples: there is one of these per VM in
 * one document, and names would be most of it.
 */
export const vmFigures = z.strictObject({
  /** Processor time in nanoseconds: all of it, in user mode, in the kernel. */
  cpuNs: z.tuple([counter, counter, counter]),
  /** KiB, under the names of virDomainMemoryStatTags in lower case; the faults and the time of the last update are plain numbers. */
  memory: z.record(z.string(), counter),
  /** By target device: read requests, bytes read, write requests, bytes written. */
  disks: z.record(z.string(), z.tuple([counter, counter, counter, counter])),
  /** By MAC address: bytes, packets, errors, drops received; then the same sent. */
  interfaces: z.record(z.string(), z.tuple([counter, counter, counter, counter, counter, counter, counter, counter])),
  /** Where its screen is served; null: nowhere, or not known yet. */
  vnc: z.strictObject({ listen: z.string(), port: z.int() }).nullable(),
});
export type VmFigures = z.infer<typeof vmFigures>;

/** What the guests of one node use. Written by its node, at most once per keepalive interval; mirrored by the API only. */
export const vmStatistics = z.strictObject({ vms: z.record(z.string(), vmFigures) });
export type VmStatistics = z.infer<typeof vmStatistics>;
