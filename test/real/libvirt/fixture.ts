import { chmod, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Duplex, Transform, type TransformCallback } from 'node:stream';
import { systemClock } from '../../../common/clock.ts';
import type { VmId } from '../../../common/ids.ts';
import { silentLogger } from '../../../common/log.ts';
import { LibvirtHypervisor, type LibvirtHypervisorDeps } from '../../../node-daemon/drivers/libvirt-hypervisor.ts';
import type { FixtureHost, HypervisorFixture } from '../../contract/hypervisor.ts';
import { guestXml, startLibvirtLab, type LibvirtHost, type LibvirtLab } from '../../support/libvirtd.ts';

export interface LibvirtFixture extends HypervisorFixture {
  lab: LibvirtLab;
  byName(name: string): LibvirtHost;
  /** Breaks every ssh connection, as a network does. */
  cutLinks(): void;
  /** Another driver for a host, with other dependencies. */
  driver(hostName: string, change: Partial<LibvirtHypervisorDeps>): LibvirtHypervisor;
}

interface Wires {
  slow: boolean;
  open: Set<Duplex>;
}

const DISK_BYTES = 1024 ** 2;

/** A tenth of a second between chunks: a guest of one megabyte takes several seconds. */
const SLOW_CHUNK_MS = 100;

/** Two hosts with real libvirtds, and our driver for each; between them real sshds, without a network. */
export async function libvirtFixture(): Promise<LibvirtFixture> {
  const lab = await startLibvirtLab(['alpha', 'beta']);
  const wires: Wires = { slow: false, open: new Set() };
  const byName = (name: string): LibvirtHost => {
    const host = lab.hosts.find((each) => each.name === name);
    if (host === undefined) throw new Error(`no host ${name}`);
    return host;
  };
  const drivers = lab.hosts.map((host) => driverOf(host, { lab, byName, wires }));
  for (const driver of drivers) await driver.start(new AbortController().signal);
  const hosts = lab.hosts.map((host, index) => toFixtureHost(host, drivers[index] as LibvirtHypervisor, lab));
  return {
    lab,
    byName,
    cutLinks: () => wires.open.forEach((stream) => stream.destroy()),
    driver: (hostName, change) => driverOf(byName(hostName), { lab, byName, wires }, change),
    hosts: [hosts[0] as FixtureHost, hosts[1] as FixtureHost],
    domainXml: (uuid, name) => guestXml(lab, { uuid, name }),
    withDisk: async (uuid, name) => {
      const file = path.join(lab.folder, `${name}.img`);
      await writeFile(file, Buffer.alloc(DISK_BYTES));
      await chmod(file, 0o666);
      const disk = `<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='${file}'/><target dev='vda' bus='virtio'/></disk>`;
      return { xml: guestXml(lab, { uuid, name, extra: disk }), file };
    },
    slowMigrations: (slow) => {
      wires.slow = slow;
    },
    stop: async () => {
      for (const driver of drivers) await driver.stop();
      await lab.stop();
    },
  };
}

interface Surroundings {
  lab: LibvirtLab;
  byName: (name: string) => LibvirtHost;
  wires: Wires;
}

function driverOf(host: LibvirtHost, { lab, byName, wires }: Surroundings, change: Partial<LibvirtHypervisorDeps> = {}): LibvirtHypervisor {
  return new LibvirtHypervisor({
    clock: systemClock,
    log: silentLogger,
    hostRoot: host.root,
    privateKeyFile: lab.privateKeyFile,
    libvirtSocket: '/run/libvirt/libvirt-sock',
    peers: (node) => (node === 'nobody' ? undefined : { address: node, port: 22, user: 'root', hostKeys: [byName(node).hostKey] }),
    transport: (peer) => wired(byName(peer.address).ssh(), wires),
    ...change,
  });
}

function toFixtureHost(host: LibvirtHost, hypervisor: LibvirtHypervisor, lab: LibvirtLab): FixtureHost {
  return {
    name: host.name,
    hypervisor,
    crash: async (uuid: VmId) => {
      const domain = await hypervisor.find(uuid);
      await host.exec('kill', '-9', await host.qemuPid(domain?.name ?? ''));
    },
    addForeign: async (uuid, name) => {
      const file = path.join(lab.folder, `${name}.xml`);
      await writeFile(file, guestXml(lab, { uuid, name }));
      await host.exec('virsh', '-q', 'define', file);
    },
    stopDaemon: () => host.libvirtd.kill(),
    startDaemon: () => host.libvirtd.start(),
  };
}

/** The stream, with what we send slowed down while `wires.slow`. */
function wired(stream: Duplex, wires: Wires): Duplex {
  const brake = new Transform({
    transform(chunk: Buffer, _encoding, done: TransformCallback) {
      if (wires.slow) systemClock.after(SLOW_CHUNK_MS, () => done(null, chunk));
      else done(null, chunk);
    },
  });
  brake.pipe(stream);
  stream.on('close', () => brake.destroy());
  brake.on('close', () => stream.destroy());
  const wire = Duplex.from({ writable: brake, readable: stream });
  wires.open.add(wire);
  wire.on('close', () => wires.open.delete(wire));
  return wire;
}
