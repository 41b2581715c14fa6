import { systemClock } from '../../common/clock.ts';
import { SimulatedDhcpHost, SimulatedDhcpServers } from '../support/simulated-dhcp-servers.ts';
import { dhcpServersContract } from './dhcp-servers.ts';

dhcpServersContract('simulated', async () => {
  const host = new SimulatedDhcpHost(systemClock);
  return {
    driver: () => new SimulatedDhcpServers(host, systemClock),
    config: async (_servers, _vni, variant) => `variant ${variant}`,
    kill: async (_servers, vni) => host.kill(vni),
    stop: async () => undefined,
  };
});
