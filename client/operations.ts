import { z } from 'zod';
import { coordinatorState, daemonState, domainsState } from '../common/schema/node.ts';
import { poolTier } from '../common/schema/pool.ts';
import { migrationMethod, selector } from '../common/schema/vm.ts';
import { dhcpLeaseView } from '../common/view/dhcp-lease.ts';
import { networkAclView } from '../common/view/network-acl.ts';
import { networkView } from '../common/view/network.ts';
import { nodeCoordinatorStateView, nodeDaemonStateView, nodeDomainStateView, nodeView } from '../common/view/node.ts';
import { osdStateView, osdView } from '../common/view/osd.ts';
import { poolView } from '../common/view/pool.ts';
import { snapshotView } from '../common/view/snapshot.ts';
import { statusView } from '../common/view/status.ts';
import { taskView } from '../common/view/task.ts';
import { vmConsoleView, vmMetaView, vmNodeView, vmStateView, vmTagsView, vmView } from '../common/view/vm.ts';
import { volumeView } from '../common/view/volume.ts';
import { operation } from './operation.ts';

const NAME_MAX_CHARS = 255;
const LOG_LINES_MAX = 5_000;

/** UTF-16 that is half a character has no form in a URL. */
const wellFormed = z.string().refine((text) => !/\p{Surrogate}/u.test(text), 'must be well-formed text');
const name = wellFormed.min(1).max(NAME_MAX_CHARS);
const text = wellFormed.min(1);
const flag = z.boolean().optional();
const limit = text.optional();
const lines = z.int().min(1).max(LOG_LINES_MAX).optional();
const names = z.array(name);
/** Null clears. */
const clearable = text.nullable().optional();
const nothing = z.strictObject({});

const message = z.object({ message: z.string() });
const log = z.object({ name: z.string(), data: z.string() });

export const IDENTITY = {
  about: operation({ method: 'GET', path: '/', access: 'open', values: nothing, reply: message }),
  description: operation({ method: 'GET', path: '/openapi.json', access: 'open', values: nothing, reply: z.record(z.string(), z.unknown()) }),
  login: operation({ method: 'POST', path: '/auth/login', access: 'open', values: z.strictObject({ token: text }), reply: message }),
  logout: operation({ method: 'POST', path: '/auth/logout', access: 'open', values: nothing, reply: message }),
} as const;

export const CLUSTER = {
  status: operation({ method: 'GET', path: '/status', values: nothing, reply: statusView }),
  setMaintenance: operation({ method: 'POST', path: '/status', values: z.strictObject({ state: z.enum(['true', 'false']) }), reply: message }),
  primaryNode: operation({ method: 'GET', path: '/status/primary_node', values: nothing, reply: z.object({ primary_node: z.string() }) }),
  events: operation({
    method: 'GET',
    path: '/events',
    values: z.strictObject({ kinds: z.array(z.enum(['vm', 'node', 'network', 'task'])).optional(), id: name.optional(), last_event_id: z.int().min(0).optional() }),
    reply: z.string(),
  }),
} as const;

const node = name;

export const NODE = {
  list: operation({
    method: 'GET',
    path: '/node',
    values: z.strictObject({ limit, daemon_state: daemonState.optional(), coordinator_state: coordinatorState.optional(), domain_state: domainsState.optional() }),
    reply: z.array(nodeView),
  }),
  get: operation({ method: 'GET', path: '/node/:node', values: z.strictObject({ node }), reply: nodeView }),
  daemonState: operation({ method: 'GET', path: '/node/:node/daemon-state', values: z.strictObject({ node }), reply: nodeDaemonStateView }),
  coordinatorState: operation({ method: 'GET', path: '/node/:node/coordinator-state', values: z.strictObject({ node }), reply: nodeCoordinatorStateView }),
  setCoordinatorState: operation({ method: 'POST', path: '/node/:node/coordinator-state', values: z.strictObject({ node, state: z.enum(['primary', 'secondary']) }), reply: message }),
  domainState: operation({ method: 'GET', path: '/node/:node/domain-state', values: z.strictObject({ node }), reply: nodeDomainStateView }),
  setDomainState: operation({
    method: 'POST',
    path: '/node/:node/domain-state',
    values: z.strictObject({ node, state: z.enum(['flush', 'ready']), wait: flag }),
    reply: message.extend({ task_id: z.string().optional() }),
  }),
  log: operation({ method: 'GET', path: '/node/:node/log', values: z.strictObject({ node, lines }), reply: log }),
} as const;

const vm = name;
const downtimeMs = z.int().min(1).max(60_000).optional();

export const VM = {
  list: operation({
    method: 'GET',
    path: '/vm',
    values: z.strictObject({
      limit,
      node: node.optional(),
      state: z.enum(['start', 'restart', 'shutdown', 'stop', 'disable', 'fail', 'migrate', 'unmigrate', 'provision', 'import', 'restore', 'mirror']).optional(),
      tag: name.optional(),
      negate: flag,
    }),
    reply: z.array(vmView),
  }),
  get: operation({ method: 'GET', path: '/vm/:vm', values: z.strictObject({ vm }), reply: vmView }),
  define: operation({
    method: 'POST',
    path: '/vm',
    values: z.strictObject({
      xml: text,
      create_volumes: names.optional(),
      node: node.optional(),
      selector: selector.optional(),
      limit: names.optional(),
      autostart: flag,
      migration_method: migrationMethod.optional(),
      migration_max_downtime: downtimeMs,
      profile: name.optional(),
      user_tags: names.optional(),
      protected_tags: names.optional(),
    }),
    reply: message,
  }),
  createFromTemplate: operation({ method: 'POST', path: '/vm/:vm', values: z.strictObject({ vm, vm_template: name, description: text.optional() }), reply: message }),
  modify: operation({ method: 'PUT', path: '/vm/:vm', values: z.strictObject({ vm, xml: text, create_volumes: names.optional(), restart: flag }), reply: message }),
  remove: operation({ method: 'DELETE', path: '/vm/:vm', slow: true, values: z.strictObject({ vm, delete_disks: flag }), reply: message }),
  state: operation({ method: 'GET', path: '/vm/:vm/state', values: z.strictObject({ vm }), reply: vmStateView }),
  setState: operation({
    method: 'POST',
    path: '/vm/:vm/state',
    values: z.strictObject({ vm, state: z.enum(['start', 'shutdown', 'stop', 'restart', 'disable']), force: flag, wait: flag }),
    reply: message,
  }),
  node: operation({ method: 'GET', path: '/vm/:vm/node', values: z.strictObject({ vm }), reply: vmNodeView }),
  setNode: operation({
    method: 'POST',
    path: '/vm/:vm/node',
    values: z.strictObject({
      vm,
      action: z.enum(['migrate', 'unmigrate', 'move', 'abort']),
      node: node.optional(),
      selector: selector.optional(),
      permanent: flag,
      force: flag,
      force_live: flag,
      wait: flag,
    }),
    reply: message,
  }),
  meta: operation({ method: 'GET', path: '/vm/:vm/meta', values: z.strictObject({ vm }), reply: vmMetaView }),
  setMeta: operation({
    method: 'POST',
    path: '/vm/:vm/meta',
    values: z.strictObject({
      vm,
      limit: names.nullable().optional(),
      selector: selector.nullable().optional(),
      autostart: flag,
      profile: clearable,
      migration_method: migrationMethod.nullable().optional(),
      migration_max_downtime: downtimeMs,
      on_flush_blocked: z.enum(['block', 'shutdown']).nullable().optional(),
    }),
    reply: message,
  }),
  tags: operation({ method: 'GET', path: '/vm/:vm/tags', values: z.strictObject({ vm }), reply: vmTagsView }),
  changeTag: operation({ method: 'POST', path: '/vm/:vm/tags', values: z.strictObject({ vm, action: z.enum(['add', 'remove']), tag: name, protected: flag }), reply: message }),
  rename: operation({ method: 'POST', path: '/vm/:vm/rename', values: z.strictObject({ vm, new_name: name }), reply: message }),
  console: operation({ method: 'GET', path: '/vm/:vm/console', values: z.strictObject({ vm, lines }), reply: vmConsoleView }),
  definition: operation({ method: 'GET', path: '/vm/:vm/dump', values: z.strictObject({ vm }), reply: z.string() }),
  freeLocks: operation({ method: 'POST', path: '/vm/:vm/locks', slow: true, values: z.strictObject({ vm }), reply: message }),
} as const;

const network = z.union([name, z.int().min(1)]);
const direction = z.enum(['in', 'out']);
const order = z.int().min(0).optional();

const networkSettings = {
  mtu: z.int().min(1).nullable().optional(),
  domain: clearable,
  name_servers: names.nullable().optional(),
  ip4_network: clearable,
  ip4_gateway: clearable,
  ip6_network: clearable,
  ip6_gateway: clearable,
  dhcp4: flag,
  dhcp4_start: clearable,
  dhcp4_end: clearable,
  nat: flag,
  anti_spoofing: flag,
};

export const NETWORK = {
  list: operation({ method: 'GET', path: '/network', values: z.strictObject({ limit }), reply: z.array(networkView) }),
  get: operation({ method: 'GET', path: '/network/:network', values: z.strictObject({ network }), reply: networkView }),
  create: operation({
    method: 'POST',
    path: '/network',
    values: z.strictObject({ vni: z.int().min(1), description: name, nettype: z.enum(['bridged', 'managed']), ...networkSettings }),
    reply: message,
  }),
  modify: operation({ method: 'PUT', path: '/network/:network', values: z.strictObject({ network, description: name.optional(), ...networkSettings }), reply: message }),
  remove: operation({ method: 'DELETE', path: '/network/:network', values: z.strictObject({ network }), reply: message }),
  listAcl: operation({ method: 'GET', path: '/network/:network/acl', values: z.strictObject({ network, limit, direction: direction.optional() }), reply: z.array(networkAclView) }),
  getAcl: operation({
    method: 'GET',
    path: '/network/:network/acl/:acl',
    values: z.strictObject({ network, acl: name, direction: direction.optional() }),
    reply: z.union([networkAclView, z.array(networkAclView), z.object({})]),
  }),
  addAcl: operation({ method: 'POST', path: '/network/:network/acl', values: z.strictObject({ network, description: name, direction, rule: text, order }), reply: message }),
  changeAcl: operation({
    method: 'PUT',
    path: '/network/:network/acl/:acl',
    values: z.strictObject({ network, acl: name, direction: direction.optional(), rule: text.optional(), order }),
    reply: message,
  }),
  removeAcl: operation({ method: 'DELETE', path: '/network/:network/acl/:acl', values: z.strictObject({ network, acl: name, direction: direction.optional() }), reply: message }),
  listLeases: operation({ method: 'GET', path: '/network/:network/lease', values: z.strictObject({ network, limit, static: flag }), reply: z.array(dhcpLeaseView) }),
  getLease: operation({ method: 'GET', path: '/network/:network/dhcp/:lease', values: z.strictObject({ network, lease: name }), reply: dhcpLeaseView }),
  reserve: operation({
    method: 'POST',
    path: '/network/:network/lease',
    values: z.strictObject({ network, macaddress: name, ipaddress: names.optional(), hostname: name.optional() }),
    reply: message,
  }),
  unreserve: operation({ method: 'DELETE', path: '/network/:network/dhcp/:lease', values: z.strictObject({ network, lease: name }), reply: message }),
} as const;

export const TASK = {
  list: operation({ method: 'GET', path: '/task', values: nothing, reply: z.array(taskView) }),
  get: operation({ method: 'GET', path: '/task/:task', values: z.strictObject({ task: name }), reply: taskView }),
} as const;

const osd = z.int().min(0);
const pool = name;
const volume = name;
const snapshot = name;
const SNAPSHOT_PATH = '/storage/ceph/volume/snapshot/:pool/:volume/:snapshot';
const meant = z.literal(true);
const textOf = <T extends string>(type: T) => z.object({ type: z.literal(type), primary_node: z.string().nullable(), ceph_data: z.string() });
const osdTask = message.extend({ task_id: z.string().optional(), task_name: z.string().optional(), run_on: z.string().optional() });

export const STORAGE = {
  status: operation({ method: 'GET', path: '/storage/ceph/status', values: nothing, reply: textOf('status') }),
  utilization: operation({ method: 'GET', path: '/storage/ceph/df', values: nothing, reply: textOf('utilization') }),
  setOption: operation({ method: 'POST', path: '/storage/ceph/cluster-option', slow: true, values: z.strictObject({ action: z.enum(['set', 'unset']), option: name }), reply: message }),
  listOsds: operation({ method: 'GET', path: '/storage/ceph/osd', values: z.strictObject({ limit }), reply: z.array(osdView) }),
  getOsd: operation({ method: 'GET', path: '/storage/ceph/osd/:osd', values: z.strictObject({ osd }), reply: osdView }),
  addOsd: operation({
    method: 'POST',
    path: '/storage/ceph/osd',
    slow: true,
    values: z.strictObject({ node, device: name, weight: z.number().min(0) }),
    reply: osdTask,
  }),
  removeOsd: operation({ method: 'DELETE', path: '/storage/ceph/osd/:osd', slow: true, values: z.strictObject({ osd, yes_i_really_mean_it: meant, force: flag }), reply: osdTask }),
  osdState: operation({ method: 'GET', path: '/storage/ceph/osd/:osd/state', values: z.strictObject({ osd }), reply: osdStateView }),
  setOsdState: operation({ method: 'POST', path: '/storage/ceph/osd/:osd/state', slow: true, values: z.strictObject({ osd, state: z.enum(['in', 'out']) }), reply: message }),
  listPools: operation({ method: 'GET', path: '/storage/ceph/pool', values: z.strictObject({ limit }), reply: z.array(poolView) }),
  getPool: operation({ method: 'GET', path: '/storage/ceph/pool/:pool', values: z.strictObject({ pool }), reply: poolView }),
  createPool: operation({
    method: 'POST',
    path: '/storage/ceph/pool',
    slow: true,
    values: z.strictObject({ pool, pgs: z.int().min(1), replcfg: text.optional(), tier: poolTier.optional() }),
    reply: message,
  }),
  modifyPool: operation({ method: 'PUT', path: '/storage/ceph/pool/:pool', slow: true, values: z.strictObject({ pool, pgs: z.int().min(1) }), reply: message }),
  removePool: operation({ method: 'DELETE', path: '/storage/ceph/pool/:pool', slow: true, values: z.strictObject({ pool, yes_i_really_mean_it: meant }), reply: message }),
  listVolumes: operation({ method: 'GET', path: '/storage/ceph/volume', values: z.strictObject({ pool: pool.optional(), limit }), reply: z.array(volumeView) }),
  getVolume: operation({ method: 'GET', path: '/storage/ceph/volume/:pool/:volume', values: z.strictObject({ pool, volume }), reply: volumeView }),
  createVolume: operation({ method: 'POST', path: '/storage/ceph/volume', slow: true, values: z.strictObject({ pool, volume, size: z.union([text, z.int().min(1)]) }), reply: message }),
  modifyVolume: operation({
    method: 'PUT',
    path: '/storage/ceph/volume/:pool/:volume',
    slow: true,
    values: z.strictObject({ pool, volume, name: name.optional(), size: z.union([text, z.int().min(1)]).optional() }),
    reply: message,
  }),
  removeVolume: operation({ method: 'DELETE', path: '/storage/ceph/volume/:pool/:volume', slow: true, values: z.strictObject({ pool, volume }), reply: message }),
  scanVolume: operation({ method: 'POST', path: '/storage/ceph/volume/:pool/:volume/scan', slow: true, values: z.strictObject({ pool, volume }), reply: message }),
  cloneVolume: operation({ method: 'POST', path: '/storage/ceph/volume/:pool/:volume/clone', slow: true, values: z.strictObject({ pool, volume, new_volume: name }), reply: message }),
  listSnapshots: operation({
    method: 'GET',
    path: '/storage/ceph/volume/snapshot',
    values: z.strictObject({ pool: pool.optional(), volume: volume.optional(), limit }),
    reply: z.array(snapshotView),
  }),
  getSnapshot: operation({ method: 'GET', path: SNAPSHOT_PATH, values: z.strictObject({ pool, volume, snapshot }), reply: snapshotView }),
  createSnapshot: operation({ method: 'POST', path: '/storage/ceph/volume/snapshot', slow: true, values: z.strictObject({ pool, volume, snapshot }), reply: message }),
  renameSnapshot: operation({ method: 'PUT', path: SNAPSHOT_PATH, slow: true, values: z.strictObject({ pool, volume, snapshot, name }), reply: message }),
  removeSnapshot: operation({ method: 'DELETE', path: SNAPSHOT_PATH, slow: true, values: z.strictObject({ pool, volume, snapshot }), reply: message }),
  rollBackSnapshot: operation({ method: 'POST', path: `${SNAPSHOT_PATH}/rollback`, slow: true, values: z.strictObject({ pool, volume, snapshot }), reply: message }),
} as const;
