import type { z } from 'zod';
import { dhcpLeases, dhcpReservations, networkAcl, networkSpec, networkStatus, networkTurn } from './network.ts';
import { maintenance } from './maintenance.ts';
import { lease, nodeLog, nodeSpec, nodeStatus, presence, primaryWish } from './node.ts';
import { osdSpec, osdStatus } from './osd.ts';
import { session } from './session.ts';
import { task } from './task.ts';
import { vmNameIndex, vmSpec } from './vm.ts';
import { vmStatistics } from './vm-statistics.ts';
import { vmConsole, vmStatus } from './vm-status.ts';

/**
 * The whole data model on one screen. Each document is one znode at `<root>/<id>`; the mirror can look it up by its field `foundBy` too.
 * `vm`, `vm-status`, `vm-console`: id is the UUID. `vm-name`: the name. `node`, `node-status`, `node-log`, `vm-statistics`, `presence`: the node's name.
 * `network`, `network-acl`, `dhcp-reservation`, `dhcp-lease`, `network-turn`: the VNI. `network-status`: the node's name.
 * `osd`, `osd-status`: the node's name and the device, as osdKey makes it.
 * `lease`: the role ('primary'). `primary-wish`, `maintenance`: one document, 'cluster'. `session`: hash of the session id.
 */
export const RESOURCES = {
  vm: { root: '/spec/vm', schema: vmSpec, foundBy: 'name' },
  'vm-name': { root: '/spec/vm-name', schema: vmNameIndex },
  node: { root: '/spec/node', schema: nodeSpec },
  network: { root: '/spec/network', schema: networkSpec },
  'network-acl': { root: '/spec/network-acl', schema: networkAcl },
  'dhcp-reservation': { root: '/spec/dhcp-reservation', schema: dhcpReservations },
  osd: { root: '/spec/osd', schema: osdSpec },
  'network-turn': { root: '/turn/network', schema: networkTurn },
  'primary-wish': { root: '/spec/primary', schema: primaryWish },
  maintenance: { root: '/spec/maintenance', schema: maintenance },
  'vm-status': { root: '/status/vm', schema: vmStatus },
  'vm-console': { root: '/status/vm-console', schema: vmConsole },
  'vm-statistics': { root: '/status/vm-statistics', schema: vmStatistics },
  'node-status': { root: '/status/node', schema: nodeStatus },
  'node-log': { root: '/status/node-log', schema: nodeLog },
  'network-status': { root: '/status/network', schema: networkStatus },
  'dhcp-lease': { root: '/status/dhcp-lease', schema: dhcpLeases },
  'osd-status': { root: '/status/osd', schema: osdStatus },
  task: { root: '/task', schema: task },
  session: { root: '/session', schema: session },
  presence: { root: '/presence', schema: presence },
  lease: { root: '/lease', schema: lease },
} as const;

export type Kind = keyof typeof RESOURCES;
export type Doc<K extends Kind> = z.infer<(typeof RESOURCES)[K]['schema']>;

/** One document with the version that the next write is conditional on. */
export interface Versioned<T> {
  readonly id: string;
  readonly doc: T;
  readonly version: number;
  readonly createdZxid: number;
  readonly modifiedZxid: number;
}

export function pathOf(kind: Kind, id: string): string {
  return `${RESOURCES[kind].root}/${id}`;
}

/** What every process mirrors. Consoles and logs are read on demand, and so is `vm-name`, which only says who may have a name: the VMs have theirs. */
export const MIRRORED = ['vm', 'node', 'network', 'network-acl', 'dhcp-reservation', 'osd', 'primary-wish', 'vm-status', 'node-status', 'network-status', 'dhcp-lease', 'osd-status', 'task', 'presence', 'lease'] as const satisfies readonly Kind[];
export type MirroredKind = (typeof MIRRORED)[number];

/** What the API mirrors beside them: what no node needs, some of it large and changing all the time. */
export const API_MIRRORED = [...MIRRORED, 'vm-statistics', 'maintenance'] as const satisfies readonly Kind[];
export type ApiMirroredKind = (typeof API_MIRRORED)[number];

export const PRIMARY_ROLE = 'primary';
export const PRIMARY_WISH_ID = 'cluster';
export const MAINTENANCE_ID = 'cluster';
