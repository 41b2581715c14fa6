import { systemClock } from '../../common/clock.ts';
import type { VmId } from '../../common/ids.ts';
import { SimulatedHosts, type SimulatedHost } from '../support/simulated-hosts.ts';
import { SimulatedHypervisor } from '../support/simulated-hypervisor.ts';
import { hypervisorContract, type FixtureHost } from './hypervisor.ts';

const domainXml = (uuid: VmId, name: string, devices = ''): string =>
  `<domain type='kvm'><name>${name}</name><uuid>${uuid}</uuid><memory unit='MiB'>256</memory><vcpu>1</vcpu><os><type>hvm</type></os>${devices}</domain>`;

const NEVER_MS = Number.POSITIVE_INFINITY;

hypervisorContract('simulated', async () => {
  const hosts = new SimulatedHosts({ clock: systemClock, defaults: { powerOffMs: 20, startMs: 5, passMs: 40, switchOverMs: 5 } });
  const fast = hosts.defaults.needsDowntimeMs;
  const fixtureHost = async (name: string): Promise<FixtureHost> => {
    const host: SimulatedHost = hosts.add(name, { memoryMib: 4_096 });
    const hypervisor = new SimulatedHypervisor(host);
    await hypervisor.start();
    return {
      name,
      hypervisor,
      crash: async (uuid) => host.end(uuid, 'crashed'),
      addForeign: async (uuid, domainName) => host.addDomain({ uuid, name: domainName }),
      stopDaemon: async () => host.stopLibvirt(),
      startDaemon: async () => host.powerOn(),
    };
  };
  return {
    hosts: [await fixtureHost('alpha'), await fixtureHost('beta')],
    domainXml,
    withDisk: async (uuid, name) => ({ xml: domainXml(uuid, name, `<devices><disk type='file'><source file='/${name}.img'/><target dev='vda'/></disk></devices>`), file: `/${name}.img` }),
    slowMigrations: (slow) => {
      hosts.defaults.needsDowntimeMs = slow ? NEVER_MS : fast;
    },
    stop: async () => undefined,
  };
});
