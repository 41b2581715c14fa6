import { systemClock } from '../../common/clock.ts';
import { SimulatedLinkDriver, SimulatedLinks } from '../support/simulated-links.ts';
import { linkDriverContract } from './link-driver.ts';

linkDriverContract('simulated', async () => {
  const links = new SimulatedLinks(systemClock);
  return {
    driver: new SimulatedLinkDriver(links, systemClock),
    underlay: 'eth0',
    addBridge: async (name) => links.put({ name, kind: 'bridge', bridge: { stp: false, forwardDelay: 1_500, mcastSnooping: true } }),
    removeLink: async (name) => links.remove(name),
    stop: async () => undefined,
  };
});
