import { SimulatedDnsHost, SimulatedDnsServer } from '../support/simulated-dns-server.ts';
import { dnsServerContract } from './dns-server.ts';

dnsServerContract('simulated', async () => {
  const host = new SimulatedDnsHost();
  return { driver: () => new SimulatedDnsServer(host), stop: async () => undefined };
});
