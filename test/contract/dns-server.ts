import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { textDigest } from '../../node-daemon/drivers/text-digest.ts';
import type { DnsServer } from '../../node-daemon/drivers/dns-server.ts';
import { dnsChange, dnsContents, dnsContentsFile, dnsServedBy, dnsServerConfig, type DnsNetwork } from '../../node-daemon/plans/dns-server.ts';
import { aManagedNetwork } from '../support/builders.ts';

export interface DnsServerFixture {
  /** A driver of the one host, not started; the daemon before may be gone. */
  driver(): DnsServer;
  stop(): Promise<void>;
}

const never = new AbortController().signal;
const WEB = { mac: '02:00:00:00:00:01', ip4: '10.5.0.50', ip6: '2001:db8:5::50', hostname: 'web' };
const ONE: DnsNetwork[] = [{ network: aManagedNetwork({ domain: 'lan.example' }), reservations: [WEB], leases: undefined }];
/** Its reverse zone holds that of the other. */
const WIDE: DnsNetwork[] = [{ network: aManagedNetwork({ domain: 'lan.example', ip4: { network: '10.0.0.0/8', gateway: '10.5.0.1', dhcp: null } }), reservations: [WEB, { ...WEB, mac: '02:00:00:00:00:02', ip4: '10.7.0.1', ip6: null, hostname: 'db' }], leases: undefined }];

/** What a driver of the DNS server must do, whatever is behind it. */
export function dnsServerContract(name: string, makeFixture: () => Promise<DnsServerFixture>, missing?: string): void {
  describe.skipIf(missing !== undefined)(`DNS server: ${name}`, () => {
    let fixture: DnsServerFixture;
    let server: DnsServer;

    beforeAll(async () => {
      fixture = await makeFixture();
    });
    afterAll(async () => fixture?.stop());
    beforeEach(async () => {
      server = fixture.driver();
      await server.start(never);
    });
    afterEach(async () => {
      await server.end();
      await server.stop();
    });

    const configOf = (networks: readonly DnsNetwork[]): string => dnsServerConfig({ place: server.place(), ...dnsServedBy(networks.map(({ network }) => network)), forwarders: [] });
    const launch = (networks: readonly DnsNetwork[]): Promise<void> => server.launch({ config: configOf(networks), contents: dnsContentsFile(dnsContents(networks)) });

    test('one that was launched holds what it was given until it is ended', async () => {
      expect(await server.configDigest()).toBeUndefined();
      await launch(ONE);
      expect(await server.configDigest()).toBe(textDigest(configOf(ONE)));
      expect(await server.contents()).toEqual(dnsContents(ONE));
      await server.end();
      await server.end();
      expect(await server.configDigest()).toBeUndefined();
      await expect(server.contents()).rejects.toMatchObject({ code: 'component' });
    });

    test.each([
      ['a wider reverse zone and back', ONE, WIDE],
      ['nothing and back', ONE, []],
    ])('changes lead to %s', async (_name, before, after) => {
      await launch(before);
      for (const wanted of [after, before]) {
        await server.change(dnsChange(await server.contents(), dnsContents(wanted)));
        expect(await server.contents()).toEqual(dnsContents(wanted));
      }
    });

    test('the next daemon finds it with what it was told since', async () => {
      await launch(ONE);
      await server.change(dnsChange(dnsContents(ONE), dnsContents(WIDE)));
      await server.stop();
      server = fixture.driver();
      await server.start(never);
      expect(await server.configDigest()).toBe(textDigest(configOf(ONE)));
      expect(await server.contents()).toEqual(dnsContents(WIDE));
    });
  });
}
