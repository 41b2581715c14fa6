import { SimulatedFirewall } from '../support/simulated-firewall.ts';
import { firewallContract } from './firewall.ts';

firewallContract('simulated', async () => {
  const firewall = new SimulatedFirewall();
  return { firewall, tamper: (document) => firewall.tamper(document), stop: async () => undefined };
});
