import { systemClock } from '../../../common/clock.ts';
import { silentLogger } from '../../../common/log.ts';
import { IpLinkDriver } from '../../../node-daemon/drivers/ip-link-driver.ts';
import { linkDriverContract } from '../../contract/link-driver.ts';
import { startNetworkNamespace } from '../../support/network-namespace.ts';

linkDriverContract(
  'iproute2',
  async () => {
    const namespace = await startNetworkNamespace();
    await namespace.commands('ip link add eth0 mtu 1550 type veth peer name far', 'ip link set eth0 up', 'ip address add 10.77.0.1/24 dev eth0');
    return {
      driver: new IpLinkDriver({ run: namespace.run, follow: namespace.follow, clock: systemClock, log: silentLogger }),
      underlay: 'eth0',
      addBridge: (name) => namespace.commands(`ip link add ${name} type bridge`),
      removeLink: (name) => namespace.commands(`ip link delete ${name}`),
      stop: () => namespace.stop(),
    };
  },
  process.getuid?.() === 0 ? undefined : 'needs root',
);
