import { systemClock } from '../../common/clock.ts';
import { SimulatedDnsHost, SimulatedDnsServer } from '../support/simulated-dns-server.ts';
import { dnsServerContract } from './dns-server.ts';

dnsServerContract('simulated', async () => {
  const host = new SimulatedDnsHost(systemClock);
  return { driver: () => new SimulatedDnsServer(host, systemClock), stop: async () => undefined };
});
