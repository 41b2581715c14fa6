import { describe, expect, test } from 'vitest';
import { silentLogger } from '../../common/log.ts';
import { AppError } from '../../common/errors.ts';
import type { Command } from '../../common/process.ts';
import { canonicalCidr, IpAddressDriver, parseAddresses } from './address.ts';

/** As `ip -json address show dev eth0` printed it (iproute2 6.1). */
const SHOWN = '[{"ifindex":3,"ifname":"eth0","flags":["UP"],"addr_info":[{"family":"inet","local":"10.1.1.1","prefixlen":24,"scope":"global"},{"family":"inet6","local":"fd00::1","prefixlen":64}]}]';

test('the addresses of a device are read from ip', () => {
  expect(parseAddresses(SHOWN)).toEqual(['10.1.1.1/24', 'fd00::1/64']);
  expect(parseAddresses('[{}]')).toEqual([]);
});

test.each(['', 'Device "eth0" does not exist.', '{"a":1}', '[{"addr_info":[{"local":1}]}]'])('other output is refused: %s', (text) => {
  expect(() => parseAddresses(text)).toThrow(AppError);
});

test('spellings of one address are equal', () => {
  expect(canonicalCidr('FD00:0:0::1/64')).toBe('fd00::1/64');
  expect(canonicalCidr('10.0.0.1/8')).toBe('10.0.0.1/8');
});

function aDriver(answers: (command: Command) => string) {
  const commands: string[] = [];
  const driver = new IpAddressDriver({
    log: silentLogger,
    run: async (command) => {
      commands.push(command.join(' '));
      return { stdout: answers(command), stderr: '' };
    },
  });
  return { driver, commands };
}

describe('repeated calls', () => {
  test('an address that is there is announced again, not added again', async () => {
    const { driver, commands } = aDriver(() => SHOWN);
    await driver.add('10.1.1.1/24', 'eth0');
    expect(commands).toEqual(['ip -json address show dev eth0', 'arping -q -U -c 2 -I eth0 10.1.1.1']);
  });

  test('an address that is not there is not removed', async () => {
    const { driver, commands } = aDriver(() => SHOWN);
    await driver.remove('10.1.1.2/24', 'eth0');
    expect(commands).toEqual(['ip -json address show dev eth0']);
  });

  test('the settings of a VLAN device are named with a slash', async () => {
    const { driver, commands } = aDriver(() => SHOWN);
    await driver.add('fd00::1/64', 'eth0.12');
    expect(commands[0]).toBe('sysctl -qw net.ipv6.conf.eth0/12.ndisc_notify=1 net.ipv6.conf.eth0/12.accept_dad=0');
  });
});
