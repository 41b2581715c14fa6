import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, readlinkSync } from 'node:fs';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isAppError } from '../../../common/errors.ts';
import { silentLogger } from '../../../common/log.ts';
import { run, type Run } from '../../../common/process.ts';
import { IpAddressDriver } from '../../../node-daemon/drivers/address.ts';
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

  test.each([
    ['10.1.1.1/24', 'arp 10.1.1.1'],
    ['fd00:0:0::5/64', 'na fd00::5'],
  ])('%s is there after add, told to the neighbours, and gone after remove; both may be repeated', async (cidr, announcement) => {
    const shown = cidr.replace('fd00:0:0::5', 'fd00::5');
    await driver().add(cidr, 'v0');
    expect(await driver().list('v0')).toContain(shown);
    await until(() => heard.includes(announcement), LIMIT_MS, announcement);
    await driver().add(cidr, 'v0');
    expect((await driver().list('v0')).filter((one) => one === shown)).toHaveLength(1);
    await driver().remove(cidr, 'v0');
    expect(await driver().list('v0')).not.toContain(shown);
    await driver().remove(cidr, 'v0');
  });

  test('of IPv6 can be used long before duplicate detection would end', async () => {
    await driver().add('fd00::9/64', 'v0');
    const isTentative = async (): Promise<boolean> => {
      const { stdout } = await inside(['ip', 'address', 'show', 'dev', 'v0', 'tentative'], { timeoutMs: LIMIT_MS });
      return stdout.includes('fd00::9');
    };
    // Detection waits for a second after the probe.
    await until(async () => !(await isTentative()), 700, 'the address is usable');
    await driver().remove('fd00::9/64', 'v0');
  });

  test('on a device that is not there is an error of the component', async () => {
    const failure = await driver().add('10.1.1.1/24', 'nodevice').catch((error: unknown) => error);
    expect(isAppError(failure, 'component')).toBe(true);
  });

  test('is all that the release removes, and a missing device is no failure', async () => {
    await driver().add('10.1.1.7/24', 'v0');
    await driver().add('10.1.1.8/24', 'v0');
    const deps = { addresses: driver(), log: silentLogger };
    await releaseHost({ floating: { address: '10.1.1.8/24', device: 'v0' } }, deps);
    const left = await driver().list('v0');
    expect(left).toContain('10.1.1.7/24');
    expect(left).not.toContain('10.1.1.8/24');
    await releaseHost({ floating: { address: '10.1.1.8/24', device: 'nodevice' } }, deps);
    await releaseHost({ floating: undefined }, deps);
  });
});
