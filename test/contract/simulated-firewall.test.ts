import { SimulatedFirewall } from '../support/simulated-firewall.ts';
import { firewallContract, portsIn } from './firewall.ts';

firewallContract('simulated', async () => {
  const firewall = new SimulatedFirewall();
  return { firewall, tamper: (document) => firewall.tamper(document), ports: async (chain) => portsIn(firewall.rulesOf('inet', chain) ?? []), stop: async () => undefined };
});
