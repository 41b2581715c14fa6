import { systemClock } from '../../../common/clock.ts';
import { silentLogger } from '../../../common/log.ts';
import { run } from '../../../common/process.ts';
import { UnboundServer } from '../../../node-daemon/drivers/dns-server.ts';
import { dnsServerContract } from '../../contract/dns-server.ts';
import { missingForLan, PrivateLan } from '../../support/private-lan.ts';

dnsServerContract(
  'unbound',
  async () => {
    const lan = await PrivateLan.make();
    return { driver: () => new UnboundServer({ runDirectory: lan.folder, run, clock: systemClock, log: silentLogger, wrap: lan.host.wrap }), stop: () => lan.end() };
  },
  missingForLan(['/usr/sbin/unbound', '/usr/sbin/unbound-control']),
);
