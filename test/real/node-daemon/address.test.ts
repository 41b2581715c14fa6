import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, readlinkSync } from 'node:fs';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { silentLogger } from '../../../common/log.ts';
import { run, type Run } from '../../../common/process.ts';
import { IpAddressDriver, type HostAddress } from '../../../node-daemon/drivers/address.ts';
import { LINK_GROUP } from '../../../node-daemon/drivers/link.ts';
import { releaseHost } from '../../../node-daemon/release.ts';
import { until } from '../../support/until.ts';

const LIMIT_MS = 10_000;
const missing = process.getuid?.() !== 0 ? 'needs root' : ['/usr/bin/unshare', '/usr/bin/nsenter', '/usr/bin/arping', '/usr/bin/python3'].find((file) => !existsSync(file));

/** Prints a line for each gratuitous ARP and each unsolicited neighbour advertisement that arrives at v1. */
const SNIFFER = `
import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)); s.bind(("v1", 0)); print("ready", flush=True)
while True:
    p = s.recv(2000)
    if p[12:14] == b"\\x08\\x06" and p[28:32] == p[38:42]: print("arp", socket.inet_ntoa(p[28:32]), flush=True)
    if p[12:14] == b"\\x86\\xdd" and p[20] == 58 and p[54] == 136: print("na", socket.inet_ntop(socket.AF_INET6, p[62:78]), flush=True)
`;

describe.skipIf(missing !== undefined)('the floating address in a namespace of its own', () => {
  let holder: ChildProcess;
  let sniffer: ChildProcess;
  let inside: Run;
  let heard = '';

  beforeAll(async () => {
    holder = spawn('/usr/bin/unshare', ['--net', '--', '/bin/sh', '-c', 'echo ready; read -r _'], { stdio: ['pipe', 'pipe', 'inherit'] });
    if (holder.stdout === null) throw new Error('no output');
    await once(holder.stdout, 'data');
    const namespace = `/proc/${String(holder.pid)}/ns/net`;
    if (readlinkSync(namespace) === readlinkSync('/proc/self/ns/net')) throw new Error("refused: this is the machine's own network namespace");
    inside = (command, options) => run(['/usr/bin/nsenter', `--net=${namespace}`, '--', ...command], options);
    for (const command of ['link add v0 type veth peer name v1', 'link set v0 up', 'link set v1 up']) {
      await inside(['ip', ...command.split(' ')] as [string, ...string[]], { timeoutMs: LIMIT_MS });
    }
    sniffer = spawn('/usr/bin/nsenter', [`--net=${namespace}`, '--', '/usr/bin/python3', '-c', SNIFFER], { stdio: ['ignore', 'pipe', 'inherit'] });
    sniffer.stdout?.on('data', (data: Buffer) => (heard += data.toString()));
    await until(() => heard.includes('ready'), LIMIT_MS, 'the sniffer');
  });

  afterAll(async () => {
    for (const child of [sniffer, holder]) {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    }
  });

  const driver = (): IpAddressDriver => new IpAddressDriver({ run: inside, log: silentLogger });

  const on = (device: string, ...cidrs: string[]): HostAddress[] => cidrs.map((cidr) => ({ device, cidr }));
  const held = async (): Promise<string[]> => (await driver().list()).filter(({ device }) => device === 'v0').map(({ cidr }) => cidr);

  test.each([
    ['10.1.1.1/24', 'arp 10.1.1.1'],
    ['fd00:0:0::5/64', 'na fd00::5'],
  ])('%s is there after add, told to the neighbours, and gone after remove; both may be repeated', async (cidr, announcement) => {
    const shown = cidr.replace('fd00:0:0::5', 'fd00::5');
    expect(await driver().add(on('v0', cidr))).toEqual([]);
    expect(await held()).toContain(shown);
    await until(() => heard.includes(announcement), LIMIT_MS, announcement);
    expect(await driver().add(on('v0', cidr))).toEqual([]);
    expect((await held()).filter((one) => one === shown)).toHaveLength(1);
    await driver().remove(on('v0', cidr));
    expect(await held()).not.toContain(shown);
    await driver().remove(on('v0', cidr));
  });

  test('of IPv6 can be used long before duplicate detection would end', async () => {
    await driver().add(on('v0', 'fd00::9/64'));
    const isTentative = async (): Promise<boolean> => {
      const { stdout } = await inside(['ip', 'address', 'show', 'dev', 'v0', 'tentative'], { timeoutMs: LIMIT_MS });
      return stdout.includes('fd00::9');
    };
    // Detection waits for a second after the probe.
    await until(async () => !(await isTentative()), 700, 'the address is usable');
    await driver().remove(on('v0', 'fd00::9/64'));
  });

  test('on a device that is not there is told, and the others are there', async () => {
    const [missing, other] = [on('nodevice', '10.1.1.1/24'), on('v0', '10.1.1.3/24')];
    expect(await driver().add([...missing, ...other])).toEqual([{ address: missing[0], why: 'Cannot find device "nodevice"' }]);
    expect(await held()).toContain('10.1.1.3/24');
    await driver().remove([...missing, ...other]);
    expect(await held()).not.toContain('10.1.1.3/24');
  });

  test('and the gateways on links of ours are all that the release removes; a missing device is no failure', async () => {
    for (const command of [`link add vmbr7 group ${LINK_GROUP} type bridge`, 'link add vmbr8 type bridge']) await inside(['ip', ...command.split(' ')] as [string, ...string[]], { timeoutMs: LIMIT_MS });
    await driver().add([...on('v0', '10.1.1.7/24', '10.1.1.8/24'), ...on('vmbr7', '10.7.0.1/24', 'fd00:7::1/64'), ...on('vmbr8', '10.8.0.1/24')]);
    const deps = { addresses: driver(), endServers: async () => undefined, log: silentLogger };
    await releaseHost({ networking: { cluster: { device: 'v0', floating_address: '10.1.1.8/24' }, upstream: { device: 'nodevice', floating_address: '10.1.2.8/24' } } }, deps);
    const left = (await driver().list()).map(({ device, cidr }) => `${device} ${cidr}`);
    expect(left).toEqual(expect.arrayContaining(['v0 10.1.1.7/24', 'vmbr8 10.8.0.1/24']));
    expect(left.filter((one) => one.startsWith('vmbr7') || one.includes('10.1.1.8'))).toEqual([]);
    await releaseHost({ networking: undefined }, deps);
  });
});
