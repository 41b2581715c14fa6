import { expect, test } from 'vitest';
import { parseKnownHosts } from './known-hosts.ts';

test('each name of a line has its key, and a host may have several', () => {
  const keys = parseKnownHosts('hv1,10.0.0.1 ssh-ed25519 AAAAone\n# no host\nhv1 ssh-rsa AAAAtwo== root@hv1\nhv2 ecdsa-sha2-nistp256 AAAAthree\n');
  expect(Object.fromEntries(keys)).toEqual({ hv1: ['AAAAone', 'AAAAtwo=='], '10.0.0.1': ['AAAAone'], hv2: ['AAAAthree'] });
});

test.each(['@revoked hv1 ssh-ed25519 AAAA', '@cert-authority * ssh-ed25519 AAAA', '|1|abc=|def= ssh-ed25519 AAAA', '* ssh-ed25519 AAAA', 'hv1 ssh-dss AAAA', 'hv1 ssh-ed25519', ''])(
  'a line that pins no single host is left out: %s',
  (line) => {
    expect(parseKnownHosts(line).size).toBe(0);
  },
);
