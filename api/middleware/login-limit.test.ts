import { expect, test } from 'vitest';
import { VirtualClock } from '../../test/support/virtual-clock.ts';
import { LoginLimit } from './login-limit.ts';

function failing(limit: LoginLimit, address: string, times: number): void {
  for (let count = 0; count < times; count += 1) limit.failed(address);
}

test('an address is refused after ten failures and let in again a minute after the first of them', async () => {
  const clock = new VirtualClock();
  const limit = new LoginLimit(clock);
  failing(limit, '192.0.2.1', 9);
  limit.check('192.0.2.1');
  limit.failed('192.0.2.1');
  expect(() => limit.check('192.0.2.1')).toThrow('too many failed logins');
  limit.check('192.0.2.2');
  await clock.advance(60_000);
  limit.check('192.0.2.1');
});

test('all addresses of an IPv6 network count as one, and those of IPv4 do not', () => {
  const limit = new LoginLimit(new VirtualClock());
  for (let host = 1; host <= 10; host += 1) limit.failed(`2001:db8:1:2::${host}`);
  expect(() => limit.check('2001:db8:1:2::ffff')).toThrow();
  limit.check('2001:db8:1:3::1');
  for (let host = 1; host <= 10; host += 1) limit.failed(`2001:db8::${host}`);
  expect(() => limit.check('2001:db8::ff')).toThrow();
  failing(limit, '::ffff:192.0.2.1', 10);
  limit.check('::ffff:192.0.2.2');
});

test('many addresses together are refused after two hundred failures', () => {
  const limit = new LoginLimit(new VirtualClock());
  for (let host = 0; host < 200; host += 1) limit.failed(`192.0.2.${host}`);
  expect(() => limit.check('198.51.100.1')).toThrow('too many failed logins');
});
