import { z } from 'zod';
import { nodeName, vmId } from '../ids.ts';

/** Desired state of one node, created by its own daemon when it first starts. */
export const nodeSpec = z.strictObject({
  name: nodeName,
  /** `flush`: run nothing here; `ready`: run VMs. A higher generation is a newer request. */
  domains: z.strictObject({ wish: z.enum(['ready', 'flush']), generation: z.int().min(0) }),
});
export type NodeSpec = z.infer<typeof nodeSpec>;

export const daemonState = z.enum(['init', 'run', 'shutdown', 'stop', 'dead']);
export type DaemonState = z.infer<typeof daemonState>;

export const coordinatorState = z.enum(['client', 'secondary', 'takeover', 'primary', 'relinquish']);
export type CoordinatorState = z.infer<typeof coordinatorState>;

export const domainsState = z.enum(['ready', 'flush', 'flushed', 'unflush']);
export type DomainsState = z.infer<typeof domainsState>;

/** One VM that a flush could not move, and why. */
const flushBlock = z.strictObject({ uuid: vmId, name: z.string(), why: z.string() });
export type FlushBlock = z.infer<typeof flushBlock>;

const nodeStatistics = z.strictObject({
  /** Average of runnable processes over one minute. */
  load: z.number().min(0),
  memoryTotalMib: z.int().min(0),
  memoryUsedMib: z.int().min(0),
  memoryFreeMib: z.int().min(0),
  /** Memory of the VMs that run here. */
  memoryAllocatedMib: z.int().min(0),
  /** Memory of all VMs whose place is here, running or not. */
  memoryProvisionedMib: z.int().min(0),
  vcpusAllocated: z.int().min(0),
  runningDomains: z.array(vmId),
});
export type NodeStatistics = z.infer<typeof nodeStatistics>;

const nodeFacts = z.strictObject({
  cpuCount: z.int().min(1),
  kernel: z.string(),
  os: z.string(),
  arch: z.string(),
  pvcVersion: z.string(),
  libvirtVersion: z.string(),
  qemuVersion: z.string(),
});
export type NodeFacts = z.infer<typeof nodeFacts>;

/** Observed state of one node, written by its daemon. `daemonState` is what it last said of itself; presence tells whether it lives. */
export const nodeStatus = z.strictObject({
  name: nodeName,
  daemonState,
  coordinatorState,
  domains: z.strictObject({ state: domainsState, generation: z.int().min(0), blocked: z.array(flushBlock) }),
  facts: nodeFacts,
  statistics: nodeStatistics,
});
export type NodeStatus = z.infer<typeof nodeStatus>;

/** Ephemeral: the node's daemon is alive. */
export const presence = z.strictObject({
  node: nodeName,
  /** Differs with each start of the daemon. */
  instance: z.string(),
  /** Address on the cluster network. */
  address: z.string(),
  version: z.string(),
});
export type Presence = z.infer<typeof presence>;

/** Ephemeral: who holds a role. The znode's createdZxid is the fencing token. */
export const lease = z.strictObject({ node: nodeName, instance: z.string() });
export type Lease = z.infer<typeof lease>;

/** Which coordinator shall be primary. `avoid` is the node that was asked to become secondary. */
export const primaryWish = z.strictObject({
  node: nodeName.nullable(),
  avoid: nodeName.nullable(),
  generation: z.int().min(0),
});
export type PrimaryWish = z.infer<typeof primaryWish>;

/** The last lines of what a node's daemon has logged, oldest first, as packLines of common/log-tail.ts makes them; read on demand and not mirrored. */
export const nodeLog = z.strictObject({ packed: z.base64() });
export type NodeLog = z.infer<typeof nodeLog>;
