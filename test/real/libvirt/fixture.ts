import { Transform, Duplex, type TransformCallback } from 'node:stream';
import path from 'node:path';
import { systemClock } from '../../../common/clock.ts';
import type { VmId } from '../../../common/ids.ts';
import { silentLogger } from '../../../common/log.ts';
import { LibvirtHypervisor } from '../../../node-daemon/drivers/libvirt-hypervisor.ts';
import type { FixtureHost, HypervisorFixture } from '../../contract/hypervisor.ts';
import { guestXml, startLibvirtLab, type LibvirtHost, type LibvirtLab } from '../../support/libvirtd.ts';
import { writeFile } from 'node:fs/promises';

export interface LibvirtFixture extends HypervisorFixture {
  lab: LibvirtLab;
  byName(name: string): LibvirtHost;
}

/** A tenth of a second between chunks: a guest of one megabyte takes several seconds. */
const SLOW_CHUNK_MS = 100;

/** Two hosts with real libvirtds, and our driver for each; between them real sshds, without a network. */
export async function libvirtFixture(): Promise<LibvirtFixture> {
  const lab = await startLibvirtLab(['alpha', 'beta']);
  const pace = { slow: false };
  const byName = (name: string): LibvirtHost => {
    const host = lab.hosts.find((each) => each.name === name);
    if (host === undefined) throw new Error(`no host ${name}`);
    return host;
  };
  const drivers = lab.hosts.map((host) => driverOf(host, lab, byName, pace));
  for (const driver of drivers) await driver.start(new AbortController().signal);
  const hosts = lab.hosts.map((host, index) => toFixtureHost(host, drivers[index] as LibvirtHypervisor, lab));
  return {
    lab,
    byName,
    hosts: [hosts[0] as FixtureHost, hosts[1] as FixtureHost],
    domainXml: (uuid, name) => guestXml(lab, { uuid, name }),
    slowMigrations: (slow) => {
      pace.slow = slow;
    },
    stop: async () => {
      for (const driver of drivers) await driver.stop();
      await lab.stop();
    },
  };
}

function driverOf(host: LibvirtHost, lab: LibvirtLab, byName: (name: string) => LibvirtHost, pace: { slow: boolean }): LibvirtHypervisor {
  return new LibvirtHypervisor({
    clock: systemClock,
    log: silentLogger,
    hostRoot: host.root,
    privateKeyFile: lab.privateKeyFile,
    peers: (node) => (node === 'nobody' ? undefined : { address: node, port: 22, user: 'root', hostKeys: [byName(node).hostKey] }),
    transport: (peer) => paced(byName(peer.address).ssh(), pace),
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

/** The stream, with what we send slowed down while `pace.slow`. */
function paced(stream: Duplex, pace: { slow: boolean }): Duplex {
  const brake = new Transform({
    transform(chunk: Buffer, _encoding, done: TransformCallback) {
      if (pace.slow) systemClock.after(SLOW_CHUNK_MS, () => done(null, chunk));
      else done(null, chunk);
    },
  });
  brake.pipe(stream);
  stream.on('close', () => brake.destroy());
  brake.on('close', () => stream.destroy());
  return Duplex.from({ writable: brake, readable: stream });
}
