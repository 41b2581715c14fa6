import { createHash } from 'node:crypto';
import type { GuestCeph } from './guest.ts';
import { CLUSTER_CIDR } from './network.ts';
import type { ServiceSpec } from './service.ts';
import { labHosts, type LabHost, type LabPlace, type LabState } from './state.ts';
import { coordinators } from './zookeeper.ts';

/** Without the older protocol of 6789. */
export const CEPH_MONITOR_PORT = 3300;

/** The pool that guests' disks are made in. */
export const CEPH_POOL = 'vms';

/** Of a pool that the lab makes: few, since each costs memory on every OSD. */
export const PLACEMENT_GROUPS = 8;

const MANAGERS_MAX = 2;
const COPIES_MAX = 3;
const OSD_BYTES = 4 * 2 ** 30;

/** A coordinator has a monitor. */
export const cephMonitors = coordinators;

/** One is active, the other one stands by. */
export function cephManagers(place: LabPlace, state: LabState): LabHost[] {
  return labHosts(place, state.nodes).slice(0, MANAGERS_MAX);
}

/** Each host has one OSD. */
export const osdId = (host: LabHost): number => host.number - 1;

/** The cluster's id, which is the UUID of libvirt's secret on every host as well. */
export const cephFsid = (state: LabState): string => state.seed;

/** What a guest's disk has to be told. */
export function guestCeph(place: LabPlace, state: LabState): GuestCeph {
  return { monitors: cephMonitors(place, state).map((host) => host.address), secretUuid: cephFsid(state) };
}

/** Stays the same when the lab is booted again. */
export function osdUuid(state: LabState, host: LabHost): string {
  const hash = createHash('sha256').update(`${state.seed}/osd/${osdId(host)}`).digest('hex');
  return `${hash.slice(0, 8)}-${hash.slice(8, 12)}-4${hash.slice(13, 16)}-8${hash.slice(17, 20)}-${hash.slice(20, 32)}`;
}

export const monitorAddress = (host: LabHost): string => `v2:${host.address}:${CEPH_MONITOR_PORT}`;

/** Modules that a manager can do without: 180 MiB. Those that are always on cannot be taken off without a health error. */
const MODULES_OFF =
  'restful,nfs,iostat,prometheus,zabbix,influx,telegraf,insights,alerts,snap_schedule,stats,mirroring,localpool,osd_perf_query,osd_support,selftest,test_orchestrator';

/**
 * /etc/ceph/ceph.conf of every host. Small caches, and time limits that suit a machine where everything has a few hundredths of a second; those of
 * heartbeats stand in [global], since monitors read them as well as OSDs.
 */
export function cephConf(place: LabPlace, state: LabState): string {
  const copies = Math.min(COPIES_MAX, state.nodes);
  const global = {
    fsid: cephFsid(state),
    'mon host': cephMonitors(place, state).map((host) => `[${monitorAddress(host)}]`).join(' '),
    'public network': CLUSTER_CIDR,
    'cluster network': CLUSTER_CIDR,
    'auth cluster required': 'cephx',
    'auth service required': 'cephx',
    'auth client required': 'cephx',
    // Otherwise the cluster's health is a warning.
    'auth allow insecure global id reclaim': false,
    'ms bind msgr1': false,
    'ms async op threads': 2,
    'log file': '/dev/null',
    'mon cluster log file': '/dev/null',
    'osd pool default size': copies,
    'osd pool default min size': Math.max(1, copies - 1),
    'osd pool default pg num': PLACEMENT_GROUPS,
    'osd pool default pgp num': PLACEMENT_GROUPS,
    'osd pool default pg autoscale mode': 'off',
    'osd heartbeat interval': 1,
    'osd heartbeat grace': 5,
    'mon osd min down reporters': 1,
    'mon osd adjust heartbeat grace': false,
    'mon osd down out interval': 600,
    'mon allow pool delete': true,
    'mon allow pool size one': true,
    'mon warn on pool no redundancy': false,
    // In seconds; by themselves 5, 2 and 5, for which whoever waits for a new pool's placement groups would wait too.
    'mgr stats period': 1,
    'mgr tick period': 1,
    'mon mgr digest period': 1,
    // Of the machine's disk, which may be fairly full.
    'mon data avail warn': 2,
    'mon data avail crit': 1,
  };
  return [
    section('global', global),
    // Twice 2 made the quorum flap on two busy processors.
    section('mon', { ...LOG_TO_STDERR, 'mon lease': 3, 'mon election timeout': 3, 'rocksdb cache size': 16 * 2 ** 20, 'mon memory autotune': false, 'paxos propose interval': 0.2 }),
    section('mgr', { ...LOG_TO_STDERR, 'mgr disabled modules': MODULES_OFF }),
    section('osd', {
      ...LOG_TO_STDERR,
      // `block` becomes a sparse file in the OSD's folder: no device is needed.
      'bluestore block size': OSD_BYTES,
      'bluestore block create': true,
      // The smallest memory target would be 896 MiB; without one an OSD stays near 50.
      'bluestore cache autotune': false,
      'bluestore cache size': 32 * 2 ** 20,
      'osd op num shards': 2,
      'osd op num threads per shard': 1,
      'osd max pg log entries': 200,
      'osd min pg log entries': 100,
    }),
    section('client', { 'admin socket': '', 'rbd default features': RBD_FEATURES }),
  ].join('\n');
}

/** The host's supervisor keeps it with the logs of the other services. */
const LOG_TO_STDERR = { 'log to stderr': true, 'err to stderr': true, 'debug rocksdb': 0 };

/** layering, exclusive-lock, object-map, fast-diff, deep-flatten. */
const RBD_FEATURES = 61;

function section(name: string, settings: Readonly<Record<string, string | number | boolean>>): string {
  return [`[${name}]`, ...Object.entries(settings).map(([key, value]) => `${key} = ${String(value)}`), ''].join('\n');
}

export const MONITOR_SERVICE = 'ceph-mon';
export const OSD_SERVICE = 'ceph-osd';
const MANAGER_SERVICE = 'ceph-mgr';

/**
 * The manager is Python, which does not start in a locale that is not there. A daemon's incarnation is told by its pid otherwise, and a host of the lab
 * that boots again gives the same pids: the others would take it for the one that died, and wait for ever.
 */
const DAEMON_ENV = { LC_ALL: 'C.UTF-8', CEPH_USE_RANDOM_NONCE: '1' };

/** What runs of Ceph on this host. */
export function cephServices(place: LabPlace, state: LabState, host: LabHost): ServiceSpec[] {
  const isOne = (hosts: readonly LabHost[]): boolean => hosts.some((one) => one.number === host.number);
  const daemon = (name: string, id: string): ServiceSpec => ({ name, command: [`/usr/bin/${name}`, '-f', '-i', id], env: DAEMON_ENV, start: 'boot', finalExitCodes: [], restartAfterMs: 1_000 });
  return [
    ...(isOne(cephMonitors(place, state)) ? [{ ...daemon(MONITOR_SERVICE, host.name), probe: { kind: 'tcp' as const, host: host.address, port: CEPH_MONITOR_PORT } }] : []),
    ...(isOne(cephManagers(place, state)) ? [daemon(MANAGER_SERVICE, host.name)] : []),
    daemon(OSD_SERVICE, String(osdId(host))),
  ];
}
