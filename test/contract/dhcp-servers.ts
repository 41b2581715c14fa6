import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { DhcpServers } from '../../node-daemon/drivers/dhcp-server.ts';
import { textDigest } from '../../node-daemon/drivers/text-digest.ts';
import { until } from '../support/until.ts';

export interface DhcpServersFixture {
  /** A driver of the one host, not started; the daemon before may be gone. */
  driver(): DhcpServers;
  /** A configuration that the server takes; another for another number. */
  config(servers: DhcpServers, vni: number, variant: number): Promise<string>;
  /** Ends the network's server as if it had crashed. */
  kill(servers: DhcpServers, vni: number): Promise<void>;
  stop(): Promise<void>;
}

const LIMIT_MS = 15_000;
const VNI = 2001;
const LEASE = '1999999999 02:00:00:00:00:01 10.5.0.101 web *\n';
const never = new AbortController().signal;

/** What a driver of DHCP servers must do, whatever is behind it. */
export function dhcpServersContract(name: string, makeFixture: () => Promise<DhcpServersFixture>, missing?: string): void {
  describe.skipIf(missing !== undefined)(`DHCP servers: ${name}`, () => {
    let fixture: DhcpServersFixture;
    let servers: DhcpServers;

    beforeAll(async () => {
      fixture = await makeFixture();
    });
    afterAll(async () => fixture?.stop());
    beforeEach(async () => {
      servers = fixture.driver();
      await servers.start(never);
    });
    afterEach(async () => {
      await servers.remove(VNI);
      await servers.stop();
    });

    const launch = async (variant = 1, leases?: { text: string; mark: string }): Promise<string> => {
      const config = await fixture.config(servers, VNI, variant);
      await servers.launch(VNI, { config, hosts: '', leases });
      return config;
    };

    test('one that was launched runs with its configuration and reservations until it is ended', async () => {
      expect(await servers.state(VNI)).toBeUndefined();
      const config = await launch();
      expect(await servers.state(VNI)).toEqual({ configDigest: textDigest(config), hostsDigest: textDigest('') });
      expect(servers.list()).toEqual([VNI]);
      await servers.end(VNI);
      await servers.end(VNI);
      expect(await servers.state(VNI)).toBeUndefined();
    });

    test('another launch replaces it', async () => {
      await launch(1);
      const config = await launch(2);
      expect((await servers.state(VNI))?.configDigest).toBe(textDigest(config));
    });

    test('reservations are told to the running one, and to nobody without one', async () => {
      await launch();
      await servers.reloadHosts(VNI, '02:00:00:00:00:01,10.5.0.50\n');
      expect((await servers.state(VNI))?.hostsDigest).toBe(textDigest('02:00:00:00:00:01,10.5.0.50\n'));
      await servers.end(VNI);
      await servers.reloadHosts(VNI, '');
      expect(await servers.state(VNI)).toBeUndefined();
    });

    /** A server that has just begun empties its file and writes it anew. */
    const hasLease = (): Promise<void> => until(async () => (await servers.readLeases(VNI))?.text.includes('10.5.0.101') === true, 5_000, 'the lease');

    test('leases given at the launch are in its file with their mark, and stay through an end and a launch without', async () => {
      await launch(1, { text: LEASE, mark: 'm1' });
      await hasLease();
      expect((await servers.readLeases(VNI))?.mark).toBe('m1');
      await servers.markLeases(VNI, 'm2');
      await servers.end(VNI);
      await launch(2);
      await hasLease();
      expect((await servers.readLeases(VNI))?.mark).toBe('m2');
      await launch(2, { text: '', mark: 'm3' });
      expect((await servers.readLeases(VNI))?.text).not.toContain('10.5.0.101');
    });

    test('a removed one leaves nothing', async () => {
      await launch(1, { text: LEASE, mark: 'm' });
      await servers.remove(VNI);
      await servers.remove(VNI);
      expect([servers.list(), await servers.readLeases(VNI), await servers.state(VNI)]).toEqual([[], undefined, undefined]);
    });

    test('the next daemon finds it as it is, and is told when it dies', async () => {
      const config = await launch();
      await servers.stop();
      servers = fixture.driver();
      await servers.start(never);
      expect(servers.list()).toEqual([VNI]);
      expect(await servers.state(VNI)).toEqual({ configDigest: textDigest(config), hostsDigest: textDigest('') });
      let told = 0;
      servers.listen({ changed: () => (told += 1), leases: () => undefined });
      await fixture.kill(servers, VNI);
      await until(() => told > 0, LIMIT_MS, 'the notice');
      expect(await servers.state(VNI)).toBeUndefined();
    });

    test('nothing starts for somebody who has given up', async () => {
      const config = await fixture.config(servers, VNI, 1);
      await expect(servers.launch(VNI, { config, hosts: '' }, AbortSignal.abort(new Error('given up')))).rejects.toThrow();
      expect(await servers.state(VNI)).toBeUndefined();
    });
  });
}
