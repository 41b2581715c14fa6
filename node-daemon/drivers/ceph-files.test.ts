import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { HostCephFiles } from './ceph-files.ts';

const FSID = 'c7720e3e-4ab0-4dc7-ac99-88354ac1bc72';
const KEY = 'AQAAAAAAAAAAABAAMDEyMzQ1Njc4OWFiY2RlZg==';

describe("Ceph's files", () => {
  let folder: string;
  const file = (name: string): string => path.join(folder, name);

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'pvc-ceph-files-'));
  });

  afterEach(() => rm(folder, { recursive: true, force: true }));

  test.each([
    ['as cephadm writes it', `# minimal ceph.conf\n[global]\n\tfsid = ${FSID}\n\tmon_host = [v2:10.0.0.1:3300/0]\n`],
    ['in capitals, behind other sections', `[client]\nfsid = 00000000-0000-4000-8000-000000000000\n[global]\nmon host=a\nfsid=${FSID.toUpperCase()} ; ours\n`],
  ])('the fsid is read: %s', async (_, text) => {
    await writeFile(file('ceph.conf'), text);
    expect(await new HostCephFiles({ config_file: file('ceph.conf') }).fsid()).toBe(FSID);
  });

  test.each([
    ['none', '[global]\nmon host = a\n'],
    ['one of another section', `[client]\nfsid = ${FSID}\n`],
    ['no UUID', '[global]\nfsid = mine\n'],
  ])('a configuration without an fsid is said to have none: %s', async (_, text) => {
    await writeFile(file('ceph.conf'), text);
    await expect(new HostCephFiles({ config_file: file('ceph.conf') }).fsid()).rejects.toMatchObject({ code: 'component' });
  });

  test('the key is that of the client', async () => {
    await writeFile(file('keyring'), `[client.other]\n\tkey = ${KEY.replace('A', 'B')}\n[client.libvirt]\n\tkey = ${KEY}\n\tcaps mon = "profile rbd"\n`);
    expect((await new HostCephFiles({ config_file: '/' }).key('client.libvirt', file('keyring'))).toString('base64')).toBe(KEY);
  });

  test.each([['[client.other]\nkey = x\n'], ['[client.libvirt]\nkey = not base64!\n'], ['']])('a keyring without it is refused, and no key is in the words: %j', async (text) => {
    await writeFile(file('keyring'), text);
    const failure: unknown = await new HostCephFiles({ config_file: '/' }).key('client.libvirt', file('keyring')).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'component', details: { client: 'client.libvirt' } });
  });

  test('a file that is not there is named', async () => {
    await expect(new HostCephFiles({ config_file: file('ceph.conf') }).fsid()).rejects.toMatchObject({ code: 'component', details: { file: file('ceph.conf') } });
  });
});
