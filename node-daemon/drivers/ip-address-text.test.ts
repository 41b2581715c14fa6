import { expect, test } from 'vitest';
import { AppError } from '../../common/errors.ts';
import { parseAddressedDevices } from './ip-address-text.ts';
import { LINK_GROUP } from './link.ts';

/** As `ip -json address show` printed it (iproute2 6.1), without what nobody reads. */
const SHOWN = `[{"ifindex":3,"ifname":"eth0","mtu":1500,"group":"default","addr_info":[{"family":"inet","local":"10.1.1.1","prefixlen":24,"scope":"global"},{"family":"inet6","local":"fd00::1","prefixlen":64}]},
  {"ifindex":4,"ifname":"vmbr7","mtu":1450,"group":"${LINK_GROUP}","addr_info":[{"local":"10.7.0.1","prefixlen":24}]},{"ifindex":5,"ifname":"eth1","mtu":1500,"group":"default","addr_info":[{}]}]`;

test('devices are read with their numbers, our mark and their addresses', () => {
  expect(parseAddressedDevices(SHOWN)).toEqual([
    { name: 'eth0', index: 3, mtuBytes: 1_500, ours: false, addresses: [{ address: '10.1.1.1', prefixLength: 24 }, { address: 'fd00::1', prefixLength: 64 }] },
    { name: 'vmbr7', index: 4, mtuBytes: 1_450, ours: true, addresses: [{ address: '10.7.0.1', prefixLength: 24 }] },
    { name: 'eth1', index: 5, mtuBytes: 1_500, ours: false, addresses: [] },
  ]);
});

test('what ip leaves out is left out', () => {
  expect(parseAddressedDevices('[{}]')).toEqual([]);
});

test.each(['', 'Device "eth0" does not exist.', '{"a":1}', '[{"ifindex":3}]', '[{"ifindex":3,"ifname":"eth0","mtu":1500,"addr_info":[{"local":1}]}]'])('other output is refused: %s', (text) => {
  expect(() => parseAddressedDevices(text)).toThrow(AppError);
});
