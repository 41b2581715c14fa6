import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { z } from 'zod';
import { absolutePath, cidr, EXIT_CONFIG, hostAndPort, ipAddress, loadConfig, tcpPort } from './config.ts';

const schema = z.strictObject({ api: z.strictObject({ port: tcpPort, address: ipAddress }), log: absolutePath.default('/var/log') });
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'config-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

async function load(text: string): Promise<unknown> {
  const file = join(folder, 'x.yaml');
  await writeFile(file, text);
  return loadConfig(file, schema);
}

test('a valid file is read with its defaults', async () => {
  expect(await load('api: {port: 7370, address: 127.0.0.1}')).toEqual({ api: { port: 7370, address: '127.0.0.1' }, log: '/var/log' });
});

test('all faults are told at once, each with its key', async () => {
  const faults = [
    expect.stringMatching(/^api\.port: /u),
    expect.stringMatching(/^api\.address: /u),
    expect.stringMatching(/^log: must be an absolute path$/u),
    expect.stringMatching(/^\(top level\): .*unknown_key/u),
  ];
  const refused = load('api: {port: 0, address: nowhere}\nlog: relative\nunknown_key: 1');
  await expect(refused).rejects.toMatchObject({ code: 'invalid', details: { file: join(folder, 'x.yaml'), faults: expect.arrayContaining(faults) } });
  await expect(refused).rejects.toHaveProperty('details.faults.length', 4);
});

test('an empty file, broken YAML and a missing file are refused as invalid', async () => {
  await expect(load('')).rejects.toMatchObject({ code: 'invalid' });
  await expect(load('api: [')).rejects.toMatchObject({ code: 'invalid', message: 'configuration cannot be read' });
  await expect(loadConfig(join(folder, 'none'), schema)).rejects.toMatchObject({ code: 'invalid', details: { faults: [expect.stringContaining('ENOENT')] } });
});

test.each([
  ['address', ipAddress, ['127.0.0.1', '::1'], ['1.2.3', 'host']],
  ['network', cidr, ['10.0.0.0/24', 'fd00::/64'], ['10.0.0.0', '10.0.0.0/33']],
  ['host and port', hostAndPort, ['hv1:2181', '10.0.0.1:2181', '[::1]:2181'], ['hv1', 'hv1:', ':2181', 'hv1:2181/x']],
  ['port', tcpPort, [1, 65_535], [0, 65_536, 1.5, '80']],
] as const)('a %s is accepted and refused by its rule', (_what, rule, good, bad) => {
  for (const value of good) expect(rule.safeParse(value).success).toBe(true);
  for (const value of bad) expect(rule.safeParse(value).success).toBe(false);
});

test('the exit code for a faulty configuration is the one of sysexits', () => {
  expect(EXIT_CONFIG).toBe(78);
});
