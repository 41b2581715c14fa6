import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { AppError } from '../../common/errors.ts';
import { parseStartTicks, PidLock } from './pid-lock.ts';

let directory = '';
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'pvc-pid-lock-'));
});
afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

const file = (): string => join(directory, 'pvcd.pid');

async function ownTicks(): Promise<number> {
  return parseStartTicks(await readFile('/proc/self/stat', 'utf8')) ?? -1;
}

test('the start time is found behind a program name with spaces and brackets', () => {
  const fields = ['S', ...Array.from({ length: 18 }, (_, index) => String(index)), '4711', '0'];
  expect(parseStartTicks(`12 (a) b (c)) ${fields.join(' ')}`)).toBe(4711);
  expect(parseStartTicks('nonsense')).toBeUndefined();
});

test('a free lock is taken, names this process, and is gone after the release', async () => {
  const lock = new PidLock(join(directory, 'deeper'), 'pvcd.pid');
  await lock.acquire();
  await lock.acquire();
  expect(JSON.parse(await readFile(join(directory, 'deeper', 'pvcd.pid'), 'utf8'))).toEqual({ pid: process.pid, startTicks: await ownTicks() });
  await lock.release();
  await lock.release();
  expect(await readdir(join(directory, 'deeper'))).toEqual([]);
});

test('a lock of a living process is refused and left alone', async () => {
  const text = JSON.stringify({ pid: process.pid, startTicks: await ownTicks() });
  await writeFile(file(), text);
  const lock = new PidLock(directory, 'pvcd.pid');
  await expect(lock.acquire()).rejects.toMatchObject({ code: 'state', details: { pid: process.pid } });
  expect(await readFile(file(), 'utf8')).toBe(text);
  expect(await readdir(directory)).toEqual(['pvcd.pid']);
});

test.each([
  ['of a dead process', async () => JSON.stringify({ pid: 4_194_304, startTicks: 1 })],
  ['of an earlier process with the pid of a living one', async () => JSON.stringify({ pid: process.pid, startTicks: (await ownTicks()) - 1 })],
  ['that is damaged', async () => '{"pid":'],
])('a lock %s is taken over', async (_name, content) => {
  await writeFile(file(), await content());
  const lock = new PidLock(directory, 'pvcd.pid');
  await lock.acquire();
  expect(JSON.parse(await readFile(file(), 'utf8')).pid).toBe(process.pid);
  expect(await readdir(directory)).toEqual(['pvcd.pid']);
});

test('a release leaves a lock that somebody else has taken meanwhile', async () => {
  const lock = new PidLock(directory, 'pvcd.pid');
  await lock.acquire();
  await rm(file());
  await writeFile(file(), 'another');
  await lock.release();
  expect(await readFile(file(), 'utf8')).toBe('another');
});

test('the refusal is an error with a code', async () => {
  const first = new PidLock(directory, 'pvcd.pid');
  await first.acquire();
  await expect(new PidLock(directory, 'pvcd.pid').acquire()).rejects.toBeInstanceOf(AppError);
});
