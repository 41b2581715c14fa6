import { expect, test } from 'vitest';
import { silentLogger } from '../../common/log.ts';
import { AppError } from '../../common/errors.ts';
import type { Command } from '../../common/process.ts';
import { IpAddressDriver } from './address.ts';
import { LINK_GROUP } from './link.ts';

/** As `ip -json address show` printed it (iproute2 6.1). */
const SHOWN = `[{"ifindex":3,"ifname":"eth0","mtu":1500,"group":"default","addr_info":[{"family":"inet","local":"10.1.1.1","prefixlen":24,"scope":"global"},{"family":"inet6","local":"fd00::1","prefixlen":64}]},
  {"ifindex":4,"ifname":"vmbr7","mtu":1450,"group":"${LINK_GROUP}","addr_info":[{"local":"10.7.0.1","prefixlen":24}]}]`;

function aDriver(answers: (command: Command, input: string | undefined) => string) {
  const commands: string[] = [];
  const driver = new IpAddressDriver({
    log: silentLogger,
    run: async (command, { input }) => {
      commands.push([command.join(' '), input].filter((part) => part !== undefined).join(' < '));
      return { stdout: answers(command, input), stderr: '' };
    },
  });
  return { driver, commands };
}

test('the addresses of all devices are listed, with those on links of ours', async () => {
  expect(await aDriver(() => SHOWN).driver.list()).toEqual([
    { device: 'eth0', cidr: '10.1.1.1/24', onOurs: false },
    { device: 'eth0', cidr: 'fd00::1/64', onOurs: false },
    { device: 'vmbr7', cidr: '10.7.0.1/24', onOurs: true },
  ]);
});

test('many addresses are one call, and the IPv4 ones are announced', async () => {
  const { driver, commands } = aDriver(() => SHOWN);
  expect(await driver.add([{ device: 'eth0', cidr: '10.1.1.1/24' }, { device: 'vmbr7', cidr: '10.7.0.1/24' }])).toEqual([]);
  expect(commands).toEqual([
    'ip -force -batch - < address replace 10.1.1.1/24 dev eth0\naddress replace 10.7.0.1/24 dev vmbr7\n',
    'arping -q -U -c 2 -I eth0 10.1.1.1',
    'arping -q -U -c 2 -I vmbr7 10.7.0.1',
  ]);
});

test('the settings of a VLAN device are named with a slash', async () => {
  const { driver, commands } = aDriver(() => SHOWN);
  await driver.add([{ device: 'eth0.12', cidr: 'fd00::1/64' }]);
  expect(commands[0]).toBe('sysctl -eqw net.ipv6.conf.eth0/12.ndisc_notify=1 net.ipv6.conf.eth0/12.accept_dad=0');
});

test('what cannot be put on its device is told, and what is gone already need not be removed', async () => {
  const refuse = (): string => {
    throw new AppError('component', 'command failed', { stderr: 'Cannot find device "eth9"\nCommand failed -:2\n' });
  };
  const { driver } = aDriver((_command, input) => (input === undefined ? SHOWN : refuse()));
  const missing = { device: 'eth9', cidr: '10.9.0.1/24' };
  expect(await driver.add([{ device: 'eth0', cidr: '10.1.1.1/24' }, missing])).toEqual([{ address: missing, why: 'Cannot find device "eth9"' }]);
  await driver.remove([{ device: 'eth0', cidr: '10.1.1.2/24' }, missing]);
  const kept = driver.remove([{ device: 'vmbr7', cidr: '10.7.0.9/24' }, { device: 'eth0', cidr: '10.1.1.1/24' }]);
  await expect(kept).rejects.toMatchObject({ code: 'component', details: { device: 'eth0' } });
});
