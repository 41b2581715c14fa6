/**
 * Runs inside a lab host: `libvirt-flush.js CONFIG TARGET ADDRESS UUID…` migrates these domains, four at once, by the daemon's hypervisor driver
 * without the daemon, and prints how long that took in milliseconds. The transport is the daemon's: the ratio is about what we add to it.
 */
import { readFile } from 'node:fs/promises';
import { systemClock } from '../../common/clock.ts';
import { loadConfig } from '../../common/config.ts';
import { vmId, type VmId } from '../../common/ids.ts';
import { silentLogger } from '../../common/log.ts';
import { nodeConfig } from '../../node-daemon/config.ts';
import { parseKnownHosts } from '../../node-daemon/drivers/known-hosts.ts';
import { LibvirtHypervisor } from '../../node-daemon/drivers/libvirt-hypervisor.ts';

const PARALLEL = 4;
const MAX_DOWNTIME_MS = 300;

const [file = '', target = '', address = '', ...ids] = process.argv.slice(2);
const { ssh, libvirt } = await loadConfig(file, nodeConfig);
const hostKeys = parseKnownHosts(await readFile(ssh.known_hosts_file, 'utf8')).get(target) ?? [];
const hypervisor = new LibvirtHypervisor({
  clock: systemClock,
  log: silentLogger,
  peers: () => ({ address, port: ssh.port, user: ssh.user, hostKeys }),
  privateKeyFile: ssh.private_key_file,
  libvirtSocket: libvirt.socket,
});
const waiting = ids.map((id) => vmId.parse(id)).values();
const never = new AbortController().signal;
const worker = async (): Promise<void> => {
  for (const uuid of waiting) await migrate(uuid);
};
const migrate = (uuid: VmId): Promise<void> => hypervisor.migrate(uuid, { target, maxDowntimeMs: MAX_DOWNTIME_MS, autoConverge: false }, never);

const beganMs = systemClock.monotonicMs();
await Promise.all(Array.from({ length: PARALLEL }, worker));
console.log(systemClock.monotonicMs() - beganMs);
await hypervisor.stop();
