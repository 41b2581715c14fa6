import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'yaml';
import { apiConfig } from '../api/config.ts';
import { EXIT_CONFIG } from '../common/config.ts';
import { run } from '../common/process.ts';
import { nodeConfig } from '../node-daemon/config.ts';
import type { App } from './app.ts';
import type { HostInitFile } from './host-init-file.ts';
import { cephServices } from './ceph-config.ts';
import { CEPH_MOUNTS } from './ceph-install.ts';
import { CLUSTER_DEVICE, FLOATING_CIDR, UPSTREAM_DEVICE, UPSTREAM_FLOATING_CIDR } from './network.ts';
import type { ServiceSpec } from './service.ts';
import { readOptional, labHosts, type LabHost, type LabPlace, type LabState } from './state.ts';
import { coordinators, zooCfg, zookeeperCommand, zookeeperHosts, zookeeperProbe } from './zookeeper.ts';

/** A lost node is noticed after this; the JVMs and the guests of one busy machine must not cause it. */
const SESSION_TIMEOUT_S = 4;
export const API_PORT_INSIDE = 7370;

const SSH_PORT = 22;
const LIBVIRT_SOCKET = '/run/libvirt/libvirt-sock';

const etc = (host: LabHost, file: string): string => path.join(host.folder, 'etc', file);

/**
 * What each host has of its own, over what the machine has there: [folder or file below the host's folder, where it appears].
 * A target that the machine does not have is left out.
 */
const MOUNTS: readonly (readonly [string, string])[] = [
  ['disk/etc-libvirt', '/etc/libvirt'],
  ['disk/var-lib-libvirt', '/var/lib/libvirt'],
  ['disk/var-cache-libvirt', '/var/cache/libvirt'],
  ['disk/var-log-libvirt', '/var/log/libvirt'],
  ['etc/hosts', '/etc/hosts'],
  ['etc/hostname', '/etc/hostname'],
  ['etc/shadow', '/etc/shadow'],
];

/** Writes all that the host finds on its disk when it boots. Data of an earlier boot stays. */
export async function writeHostFiles(place: LabPlace, state: LabState, host: LabHost, app: App): Promise<void> {
  const folders = ['etc', 'log', 'zookeeper/data', 'disk/etc-libvirt', 'disk/var-lib-libvirt', 'disk/var-cache-libvirt', 'disk/var-log-libvirt/pvc'];
  for (const folder of folders) await mkdir(path.join(host.folder, folder), { recursive: true });
  const files: [string, string, number][] = [
    ['mounts', `${[...MOUNTS, ...(state.storage ? CEPH_MOUNTS : [])].map(([source, target]) => `${path.join(host.folder, source)} ${target}`).join('\n')}\n`, 0o644],
    ['init.json', JSON.stringify({ services: [...baseServices(host), ...(state.storage ? cephServices(place, state, host) : []), ...(state.bare ? [] : ownServices(host, app))] } satisfies HostInitFile), 0o644],
    ['etc/hosts', hostsFile(place, state), 0o644],
    ['etc/hostname', `${host.name}\n`, 0o644],
    // A locked root account (`!`) could not be logged in to even with a key; `*` has no password either.
    ['etc/shadow', 'root:*:19000:0:99999:7:::\n', 0o600],
    ['etc/sshd_config', sshdConfig(host), 0o644],
    ['etc/pvcd.yaml', pvcdYaml(place, state, host), 0o644],
    ['etc/pvc-api.yaml', apiYaml(place, state), 0o600],
    ['disk/etc-libvirt/libvirtd.conf', libvirtdConf(state, host), 0o644],
    ['disk/etc-libvirt/qemu.conf', qemuConf(host), 0o644],
    ['disk/etc-libvirt/virtlogd.conf', '', 0o644],
  ];
  if (host.coordinator) {
    files.push(['zookeeper/zoo.cfg', zooCfg(place, state, host), 0o644], ['zookeeper/data/myid', `${host.number}\n`, 0o644]);
  }
  for (const [file, text, mode] of files) await writeFile(path.join(host.folder, file), text, { mode });
}

const KEYGEN_TIMEOUT_MS = 20_000;

/**
 * Gives each host a host key and the daemons a common key, and tells each host all the host keys. Existing keys stay.
 * The daemons' key may forward sockets and nothing else: any command it asks for is `true`.
 */
export async function writeSshKeys(place: LabPlace, state: LabState): Promise<void> {
  const hosts = labHosts(place, state.nodes);
  const shared = path.join(place.directory, 'daemon_ed25519');
  await makeKey(shared, 'pvcd');
  for (const host of hosts) await makeKey(etc(host, 'ssh_host_ed25519_key'), host.name);
  const knownHosts = await Promise.all(
    hosts.map(async (host) => `${host.name},${host.address} ${await readFile(etc(host, 'ssh_host_ed25519_key.pub'), 'utf8')}`),
  );
  const authorized = `restrict,port-forwarding,command="/usr/bin/true" ${await readFile(`${shared}.pub`, 'utf8')}`;
  for (const host of hosts) {
    await writeFile(etc(host, 'known_hosts'), knownHosts.join(''), { mode: 0o644 });
    await writeFile(etc(host, 'authorized_keys'), authorized, { mode: 0o600 });
    await writeFile(etc(host, 'id_ed25519'), await readFile(shared), { mode: 0o600 });
  }
}

async function makeKey(file: string, comment: string): Promise<void> {
  if ((await readOptional(file)) !== undefined) return;
  await run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', comment, '-f', file], { timeoutMs: KEYGEN_TIMEOUT_MS });
}

/** What runs on a host beside the project's daemons. */
function baseServices(host: LabHost): ServiceSpec[] {
  const zookeeper: ServiceSpec = { name: 'zookeeper', command: zookeeperCommand(host), env: {}, start: 'boot', finalExitCodes: [], restartAfterMs: 1_000, probe: zookeeperProbe(host) };
  return [
    { name: 'sshd', env: {}, start: 'boot', finalExitCodes: [], command: ['/usr/sbin/sshd', '-D', '-e', '-f', etc(host, 'sshd_config')], probe: { kind: 'tcp', host: host.address, port: SSH_PORT } },
    ...(host.coordinator ? [zookeeper] : []),
    { name: 'virtlogd', command: ['/usr/sbin/virtlogd'], env: {}, start: 'boot', finalExitCodes: [] },
    { name: 'libvirtd', command: ['/usr/sbin/libvirtd'], env: {}, start: 'boot', finalExitCodes: [], restartAfterMs: 1_000, probe: { kind: 'unix', path: LIBVIRT_SOCKET } },
  ];
}

/** The project's daemons, as their systemd units have them. */
function ownServices(host: LabHost, app: App): ServiceSpec[] {
  const daemon: ServiceSpec['command'] = [process.execPath, app.file('dist/daemons/pvcd.js')];
  const common = { restartAfterMs: 1_000, finalExitCodes: [EXIT_CONFIG] };
  return [
    { ...common, name: 'pvcd', command: daemon, env: { PVCD_CONFIG_FILE: etc(host, 'pvcd.yaml') }, start: 'boot', afterExit: [...daemon, 'release'] },
    { ...common, name: 'pvc-api', command: [process.execPath, app.file('dist/daemons/pvc-api.js')], env: { PVC_CONFIG_FILE: etc(host, 'pvc-api.yaml') }, start: 'request', boundTo: 'pvcd', probe: { kind: 'tcp', host: '127.0.0.1', port: API_PORT_INSIDE } },
  ];
}

function hostsFile(place: LabPlace, state: LabState): string {
  const lines = labHosts(place, state.nodes).map((host) => `${host.address} ${host.name}`);
  return `127.0.0.1 localhost\n::1 localhost\n${lines.join('\n')}\n`;
}

function sshdConfig(host: LabHost): string {
  return [
    `ListenAddress ${host.address}`,
    `HostKey ${etc(host, 'ssh_host_ed25519_key')}`,
    `AuthorizedKeysFile ${etc(host, 'authorized_keys')}`,
    'PidFile /run/sshd.pid',
    'PermitRootLogin prohibit-password',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    'UsePAM no',
    'UseDNS no',
    'PrintMotd no',
    // The folders above a lab's own may belong to anyone.
    'StrictModes no',
    // `no` would forbid the forwarding of Unix sockets too, without a word about it in sshd_config(5).
    'AllowTcpForwarding local',
    'AllowStreamLocalForwarding yes',
    'StreamLocalBindUnlink yes',
    'MaxSessions 200',
    'MaxStartups 100',
    '',
  ].join('\n');
}

function libvirtdConf(state: LabState, host: LabHost): string {
  return [
    'listen_tls = 0',
    'listen_tcp = 0',
    'auth_unix_ro = "none"',
    'auth_unix_rw = "none"',
    'unix_sock_rw_perms = "0700"',
    `host_uuid = "${hostUuid(state, host)}"`,
    'log_outputs = "2:stderr"',
    '',
  ].join('\n');
}

/** Of its own, since all hosts have the machine's DMI and libvirt refuses to migrate from a host to itself. */
function hostUuid(state: LabState, host: LabHost): string {
  const hash = createHash('sha256').update(`${state.seed}/${host.name}`).digest('hex');
  return `${hash.slice(0, 8)}-${hash.slice(8, 12)}-4${hash.slice(13, 16)}-8${hash.slice(17, 20)}-${hash.slice(20, 32)}`;
}

function qemuConf(host: LabHost): string {
  return [
    'user = "root"',
    'group = "root"',
    'security_driver = "none"',
    'namespaces = []',
    'cgroup_controllers = []',
    'remember_owner = 0',
    'dynamic_ownership = 0',
    `migration_address = "${host.address}"`,
    `migration_host = "${host.address}"`,
    '',
  ].join('\n');
}

function pvcdYaml(place: LabPlace, state: LabState, host: LabHost): string {
  const labctl = '/run/lab/labctl';
  const document = {
    node: host.name,
    address: host.address,
    coordinators: coordinators(place, state).map((coordinator) => coordinator.name),
    zookeeper: { hosts: zookeeperHosts(place, state), session_timeout_s: SESSION_TIMEOUT_S },
    networking: {
      cluster: { device: CLUSTER_DEVICE, floating_address: FLOATING_CIDR },
      upstream: { device: UPSTREAM_DEVICE, floating_address: UPSTREAM_FLOATING_CIDR },
      bridge_device: UPSTREAM_DEVICE,
    },
    api_service: { kind: 'command', start: [labctl, 'start', 'pvc-api'], stop: [labctl, 'stop', 'pvc-api'] },
    enable_storage: state.storage,
    ceph: { osd: { service: { kind: 'process' } } },
    initial_domain_state: 'ready',
    ssh: { private_key_file: etc(host, 'id_ed25519'), known_hosts_file: etc(host, 'known_hosts') },
  };
  nodeConfig.parse(document);
  return stringify(document);
}

function apiYaml(place: LabPlace, state: LabState): string {
  const document = {
    pvc: {
      debug: false,
      coordinators: zookeeperHosts(place, state),
      zookeeper_session_timeout_s: SESSION_TIMEOUT_S,
      enable_storage: state.storage,
      api: {
        listen_address: '0.0.0.0',
        listen_port: API_PORT_INSIDE,
        authentication: {
          enabled: true,
          secret_key: state.secretKey,
          tokens: [{ description: 'lab', token: state.token }],
        },
        ssl: { enabled: false },
      },
    },
  };
  apiConfig.parse(document);
  return stringify(document);
}

