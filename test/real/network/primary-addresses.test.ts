import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../../common/clock.ts';
import { silentLogger } from '../../../common/log.ts';
import { createMirror } from '../../../common/mirror/mirror.ts';
import { MIRRORED, pathOf, RESOURCES } from '../../../common/schema/resources.ts';
import { MemoryStore } from '../../../common/store/memory-store.ts';
import { MemoryZooKeeper } from '../../../common/store/memory-zookeeper.ts';
import { composeNetworks, type NodeNetworks } from '../../../node-daemon/compose-networks.ts';
import { nodeConfig } from '../../../node-daemon/config.ts';
import { IpAddressDriver } from '../../../node-daemon/drivers/address.ts';
import { IpLinkDriver } from '../../../node-daemon/drivers/ip-link-driver.ts';
import { NftFirewall } from '../../../node-daemon/drivers/nft-firewall.ts';
import { floatingAddresses } from '../../../node-daemon/plans/primary-addresses.ts';
import { PrimaryAddresses } from '../../../node-daemon/reconcilers/primary-addresses.ts';
import { aManagedNetwork } from '../../support/builders.ts';
import { startNetworkNamespace, type NetworkNamespace } from '../../support/network-namespace.ts';
import { until } from '../../support/until.ts';

const LIMIT_MS = 20_000;

/** An event, and not the sweep of ten or thirty seconds, brings an address back within this. */
const BACK_MS = 3_000;

const FLOATING = '10.77.0.100/24';
const GATEWAY = '10.5.0.1/24';
const never = new AbortController().signal;
const missing = process.getuid?.() === 0 ? undefined : 'needs root';

describe.skipIf(missing !== undefined)('the addresses of a primary', { timeout: 60_000 }, () => {
  let namespace: NetworkNamespace;
  let networks: NodeNetworks;
  let addresses: PrimaryAddresses;
  let folder: string;
  let store: MemoryStore;
  const endings: (() => Promise<void>)[] = [];

  const isOn = async (device: string, cidr: string): Promise<boolean> =>
    (await namespace.run(['ip', '-oneline', 'address', 'show', 'dev', device], { timeoutMs: LIMIT_MS })).stdout.includes(` ${cidr} `);

  beforeAll(async () => {
    namespace = await startNetworkNamespace();
    folder = await mkdtemp(path.join(tmpdir(), 'pvc-primary-addresses-'));
    await namespace.commands('ip link add eth0 type veth peer name outside', 'ip link set eth0 up', 'ip link set outside up', 'ip address add 10.77.0.1/24 dev eth0');
    const [clock, log] = [systemClock, silentLogger];
    store = new MemoryStore({ zookeeper: new MemoryZooKeeper({ clock }), clock, name: 'hv1' });
    await store.start(never);
    await store.create(pathOf('network', '7'), aManagedNetwork({ vni: 7 }));
    const mirror = createMirror({ store, clock, log, table: RESOURCES, kinds: MIRRORED });
    await mirror.start(never);
    const networking = { cluster: { device: 'eth0', floating_address: FLOATING } };
    const config = nodeConfig.parse({ node: 'hv1', address: '10.77.0.1', coordinators: ['hv1'], zookeeper: { hosts: ['127.0.0.1:2181'] }, networking });
    const { run, follow, converse } = namespace;
    const all = (): ReturnType<typeof aManagedNetwork>[] => [aManagedNetwork({ vni: 7 })];
    addresses = new PrimaryAddresses({ addresses: new IpAddressDriver({ run, log }), floating: floatingAddresses(networking), networks: all, isLeaseMine: () => true, log });
    const links = new IpLinkDriver({ run, follow, clock, log });
    const firewall = new NftFirewall({ run, follow, converse, clock, log, directory: folder });
    networks = composeNetworks(config, { parts: { links, firewall, store, clock, log, jitter: () => 0.5 }, mirror, addresses });
    await networks.start(never);
    endings.push(() => networks.stop(), () => mirror.stop(), () => store.stop());
    await addresses.take(never);
    await until(() => isOn('eth0', FLOATING), LIMIT_MS, 'the floating address');
    await until(() => isOn('vmbr7', GATEWAY).catch(() => false), LIMIT_MS, 'the gateway');
  });

  afterAll(async () => {
    for (const end of endings) await end();
    await namespace?.stop();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  test.each([
    ['gateway', 'vmbr7', GATEWAY],
    ['floating address', 'eth0', FLOATING],
  ])('a %s that somebody takes off is back at once, each time', async (_name, device, cidr) => {
    // A look that an earlier change is still to bring may help it once or twice.
    for (let time = 0; time < 4; time += 1) {
      const fromMs = systemClock.monotonicMs();
      await namespace.commands(`ip address del ${cidr} dev ${device}`);
      await until(() => isOn(device, cidr), LIMIT_MS, 'the address');
      expect(systemClock.monotonicMs() - fromMs).toBeLessThan(BACK_MS);
    }
  });

  test('neither comes back once the role is gone', async () => {
    await addresses.drop(never);
    for (const device of ['eth0', 'vmbr7']) await namespace.commands(`ip address add 192.0.2.1/32 dev ${device}`, `ip address del 192.0.2.1/32 dev ${device}`);
    // What comes later than those changes is done: so they were looked at.
    await store.create(pathOf('network', '8'), aManagedNetwork({ vni: 8, description: 'eight' }));
    await until(() => isOn('vmbr8', '').then(() => true, () => false), LIMIT_MS, 'another bridge');
    expect([await isOn('eth0', FLOATING), await isOn('vmbr7', GATEWAY)]).toEqual([false, false]);
  });
});
