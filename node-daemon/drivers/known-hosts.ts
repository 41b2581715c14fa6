/** Key types that ssh2 can compare; a certificate authority or a revoked key is never a host key here. */
const KEY_TYPE = /^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521))$/u;

/**
 * Public keys by host, from the text of an OpenSSH known_hosts file: one line `names type base64 [comment]`, names separated by commas.
 * Hashed names, patterns, ports and markers (`@revoked`) are left out (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).
 */
export function parseKnownHosts(text: string): ReadonlyMap<string, readonly string[]> {
  const keys = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const [names = '', type = '', key = ''] = line.trim().split(/\s+/u);
    if (!KEY_TYPE.test(type) || !/^[A-Za-z0-9+/]+=*$/u.test(key)) continue;
    for (const name of names.split(',')) {
      if (/^[A-Za-z0-9.:-]+$/u.test(name)) keys.set(name, [...(keys.get(name) ?? []), key]);
    }
  }
  return keys;
}
