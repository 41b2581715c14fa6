import { readFile } from 'node:fs/promises';
import { systemClock } from '../../../common/clock.ts';
import { silentLogger } from '../../../common/log.ts';
import { run } from '../../../common/process.ts';
import { DnsmasqServers } from '../../../node-daemon/drivers/dhcp-server.ts';
import { dhcpServerConfig } from '../../../node-daemon/plans/dhcp-server.ts';
import { dhcpServersContract } from '../../contract/dhcp-servers.ts';
import { aManagedNetwork } from '../../support/builders.ts';
import { missingForLan, PrivateLan } from '../../support/private-lan.ts';

dhcpServersContract(
  'dnsmasq',
  async () => {
    const lan = await PrivateLan.make();
    await lan.addBridge('vmbr2001', ['10.5.0.1/24', '2001:db8:5::1/64']);
    return {
      driver: () => new DnsmasqServers({ runDirectory: lan.folder, run, clock: systemClock, log: silentLogger, wrap: lan.host.wrap }),
      config: async (servers, vni, variant) => dhcpServerConfig(aManagedNetwork({ vni, nameServers: [`192.0.2.${variant}`] }), { files: servers.files(vni), bridge: { name: 'vmbr2001', index: 1, mtuBytes: 1_500 } }),
      kill: async (servers, vni) => void process.kill(Number(await readFile(servers.files(vni).pid, 'utf8')), 'SIGKILL'),
      stop: () => lan.end(),
    };
  },
  missingForLan(['/usr/sbin/dnsmasq']),
);
