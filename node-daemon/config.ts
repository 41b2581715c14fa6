import { z } from 'zod';
import { absolutePath, cephAccess, cephClient, cidr, hostAndPort, ipAddress, tcpPort } from '../common/config.ts';
import { nodeName } from '../common/ids.ts';
import { selector } from '../common/schema/vm.ts';

const argv = z.tuple([z.string()], z.string());

/** How the API is started on the primary and stopped elsewhere. */
const apiService = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('none') }),
  z.strictObject({ kind: z.literal('systemd'), unit: z.string().default('pvc-api.service') }),
  /** Argument vectors; `start` and `stop` return when it is done, both may be called twice. `status` exits with 0 when the API runs, with 3 when it does not. */
  z.strictObject({ kind: z.literal('command'), start: argv, stop: argv, status: argv.optional() }),
]);

/** IFNAMSIZ leaves 15 characters. */
const deviceName = z.string().regex(/^[A-Za-z0-9._-]{1,15}$/u, 'must be the name of a network device');

/** A network of the hosts themselves; the floating address is the primary's. */
const hostNetwork = z.strictObject({ device: deviceName, floating_address: cidr.optional() });

/** The OSDs that the daemon owns. */
const osd = z.strictObject({
  /** `systemd`: Ceph's own units, ceph-osd@ID.service; `process`: processes of the daemon's own, as root. */
  service: z
    .discriminatedUnion('kind', [
      z.strictObject({ kind: z.literal('systemd'), user: z.string().regex(/^[a-z_][a-z0-9_-]*$/u).default('ceph') }),
      z.strictObject({ kind: z.literal('process') }),
    ])
    .prefault({ kind: 'systemd' }),
  /** Has a folder ceph-ID for each OSD; Ceph's units look nowhere else. */
  directory: absolutePath.default('/var/lib/ceph/osd'),
  /** A removal waits this long while nothing in the cluster moves, and is given up then. */
  drain_stall_s: z.number().min(5).max(86_400).default(120),
});

/** How the daemon reaches Ceph, and how guests do. */
const ceph = cephAccess.extend({
  /** Whom QEMU is to Ceph. */
  libvirt_client: cephClient.default('client.libvirt'),
  libvirt_keyring_file: absolutePath.default('/etc/ceph/ceph.client.libvirt.keyring'),
  /** The libvirt secret with the key of `libvirt_client`; absent: the cluster's fsid, as config_file has it. */
  secret_uuid: z.uuid().toLowerCase().optional(),
  osd: osd.prefault({}),
});

/** The whole of pvcd.yaml. Units are in the names; config/pvcd.yaml shows every key with its default. */
export const nodeConfig = z.strictObject({
    node: nodeName,
    /** This node's address on the cluster network. */
    address: ipAddress,
    log_level: z.enum(['error', 'warn', 'info', 'debug']).default('info'),
    /** Of this daemon's log, for the API. */
    log_lines_max: z.int().min(10).max(5_000).default(2_000),
    coordinators: z.array(nodeName).min(1),
    zookeeper: z.strictObject({
      hosts: z.array(hostAndPort).min(1),
      session_timeout_s: z.number().min(2).max(120).default(10),
    }),
    /** Absent: this node has no client networks. */
    networking: z
      .strictObject({
        cluster: hostNetwork,
        upstream: hostNetwork.optional(),
        storage: hostNetwork.optional(),
        /** Carries the VLANs of bridged networks; absent: there are none. */
        bridge_device: deviceName.optional(),
      })
      .optional(),
    /** Name servers that the primary's DNS server asks for names outside the cluster. */
    dns: z.strictObject({ forwarders: z.array(ipAddress).max(8).default([]) }).prefault({}),
    /** false: a cluster without Ceph. */
    enable_storage: z.boolean().default(false),
    ceph: ceph.prefault({}),
    api_service: apiService.prefault({ kind: 'systemd' }),
    keepalive_interval_s: z.number().min(1).max(60).default(5),
    /** Domain state of a node that registers for the first time. */
    initial_domain_state: z.enum(['ready', 'flushed']).default('flushed'),
    vm: z
      .strictObject({
        shutdown_timeout_s: z.number().min(1).max(3_600).default(90),
        console_lines_max: z.int().min(10).max(5_000).default(1_000),
        console_directory: absolutePath.default('/var/log/libvirt/pvc'),
      })
      .prefault({}),
    flush: z.strictObject({ parallel: z.int().min(1).max(32).default(4) }).prefault({}),
    placement: z
      .strictObject({
        selector: selector.default('mem'),
        /** Memory kept for the host itself. */
        reserve_mib: z.int().min(0).default(512),
      })
      .prefault({}),
    migration: z
      .strictObject({
        /** A live migration that takes longer is aborted. */
        timeout_s: z.number().min(5).max(86_400).default(600),
      })
      .prefault({}),
    libvirt: z.strictObject({ socket: absolutePath.default('/run/libvirt/libvirt-sock') }).prefault({}),
    ssh: z
      .strictObject({
        user: z.string().default('root'),
        port: tcpPort.default(22),
        private_key_file: absolutePath.default('/etc/pvc/ssh/id_ed25519'),
        /** OpenSSH known_hosts with a line for each node's name; only these keys are accepted. */
        known_hosts_file: absolutePath.default('/etc/pvc/ssh/known_hosts'),
      })
      .prefault({}),
    run_directory: absolutePath.default('/run/pvc'),
  });

export type NodeConfig = z.infer<typeof nodeConfig>;
