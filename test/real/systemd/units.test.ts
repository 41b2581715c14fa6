import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EXIT_CONFIG } from '../../../common/config.ts';
import { run } from '../../../common/process.ts';

const UNITS = ['pvcd.service', 'pvc-api.service', 'pvc.target'];
const COMMAND_LIMIT_MS = 30_000;

let folder = '';

/** `verify` wants ExecStart to exist: the unit as shipped, but with `true` and the arguments it has. */
function withExistingPrograms(text: string): string {
  return text.replaceAll(/^(Exec[A-Za-z]+=)\/usr\/bin\/node /gmu, '$1/bin/true ').replaceAll(/^Documentation=.*$/gmu, 'Documentation=man:true(1)');
}

/** Values of one key in the order of the file; systemd merges or replaces by the last. */
function valuesOf(text: string, key: string): string[] {
  return [...text.matchAll(new RegExp(`^${key}=(.*)$`, 'gmu'))].map((match) => match[1] ?? '');
}

async function shipped(unit: string): Promise<string> {
  return readFile(join('systemd', unit), 'utf8');
}

async function writeCopy(unit: string, text: string): Promise<string> {
  const file = join(folder, unit);
  await writeFile(file, withExistingPrograms(text));
  return file;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pvc-units-'));
  for (const unit of UNITS) await writeCopy(unit, await shipped(unit));
});

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** Verifies units in the folder alone with those that the host has: nothing is started, systemd need not run. */
async function verify(...files: string[]): Promise<{ stdout: string; stderr: string }> {
  return run(['systemd-analyze', 'verify', '--man=no', '--recursive-errors=no', ...files], {
    timeoutMs: COMMAND_LIMIT_MS,
    env: { SYSTEMD_UNIT_PATH: `${folder}:` },
  });
}

describe('systemd-analyze verify', () => {
  test.each(UNITS)('%s passes without a word', async (unit) => {
    expect(await verify(join(folder, unit))).toEqual({ stdout: '', stderr: '' });
  });

  test('a misspelt key is noticed, so the silence above means something', async () => {
    const file = await writeCopy('pvc-misspelt.service', (await shipped('pvcd.service')).replace('WatchdogSec=', 'WatchdogSecs='));
    await expect(verify(file)).rejects.toMatchObject({ details: { stderr: expect.stringContaining('WatchdogSecs') } });
  });

  test('every unit file that is shipped is verified', async () => {
    expect((await readdir('systemd')).filter((name) => /\.(service|target|socket|timer)$/u.test(name)).sort()).toEqual([...UNITS].sort());
  });
});

/** Exposure from 0 (locked up) to 10 (a plain root service), as systemd-analyze weighs it. */
async function exposure(unit: string): Promise<number> {
  const { stdout } = await run(['systemd-analyze', 'security', '--offline=true', '--no-pager', join(folder, unit)], { timeoutMs: COMMAND_LIMIT_MS });
  const match = /Overall exposure level for \S+: ([\d.]+)/u.exec(stdout);
  expect(match, stdout.slice(-300)).not.toBeNull();
  return Number(match?.[1]);
}

describe('systemd-analyze security', () => {
  test.each([
    // 3.5 before networks: dnsmasq and unbound need four capabilities more, to open their ports and to become users of their own.
    { unit: 'pvcd.service', most: 3.6 },
    { unit: 'pvc-api.service', most: 2 },
  ])('the exposure of $unit is at most $most', async ({ unit, most }) => {
    expect(await exposure(unit)).toBeLessThanOrEqual(most);
  });
});

describe('the units say what the daemon counts on', () => {
  test('pvcd is watched, started again, and not after a configuration error', async () => {
    const unit = await shipped('pvcd.service');
    expect(valuesOf(unit, 'Type')).toEqual(['notify']);
    expect(valuesOf(unit, 'NotifyAccess')).toEqual(['all']);
    expect(valuesOf(unit, 'WatchdogSec')).toEqual(['30']);
    expect(valuesOf(unit, 'Restart')).toEqual(['always']);
    expect(valuesOf(unit, 'RestartPreventExitStatus')).toEqual([String(EXIT_CONFIG)]);
  });

  test('stopping pvcd leaves other processes of its group alone', async () => {
    expect(valuesOf(await shipped('pvcd.service'), 'KillMode')).toEqual(['process']);
  });

  test('the host is cleaned up after every end of pvcd', async () => {
    const unit = await shipped('pvcd.service');
    expect(valuesOf(unit, 'ExecStopPost')).toEqual([`${valuesOf(unit, 'ExecStart')[0]} release`]);
  });

  test('the API ends with the node daemon and is never started by the boot', async () => {
    const unit = await shipped('pvc-api.service');
    expect(valuesOf(unit, 'BindsTo')).toEqual(['pvcd.service']);
    expect(valuesOf(unit, 'Before'), 'stopped after it').toEqual(['pvcd.service']);
    expect(valuesOf(unit, 'WantedBy')).toEqual([]);
  });

  test('both start programs that the build makes', async () => {
    const programs = (await Promise.all(['pvcd.service', 'pvc-api.service'].map(shipped))).flatMap((unit) => valuesOf(unit, 'ExecStart'));
    const built = programs.map((program) => program.replace('/usr/bin/node /usr/lib/pvc/', ''));
    expect(built).toEqual(['dist/daemons/pvcd.js', 'dist/daemons/pvc-api.js']);
    expect(built.filter((file) => !existsSync(file))).toEqual([]);
  });
});
