import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../common/clock.ts';
import { until } from '../test/support/until.ts';
import { Service, type ServiceSpec } from './service.ts';

const LIMIT_MS = 10_000;

let folder: string;
let started: Service[];
let ended: string[];

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'pvc-service-'));
  started = [];
  ended = [];
});

afterEach(async () => {
  await Promise.all(started.map((service) => service.stop()));
  await rm(folder, { recursive: true, force: true });
});

function service(script: string, more: Partial<ServiceSpec> = {}): Service {
  const spec: ServiceSpec = { name: 's', command: ['sh', '-c', script], env: {}, start: 'boot', finalExitCodes: [], ...more };
  const made = new Service(spec, { clock: systemClock, logFile: path.join(folder, 'log'), ended: (name) => ended.push(name), say: () => undefined });
  started.push(made);
  return made;
}

const log = (): Promise<string> => readFile(path.join(folder, 'log'), 'utf8').catch(() => '');

test('a service that is killed starts again after its pause, with a new process', async () => {
  const subject = service('echo up; sleep 60', { restartAfterMs: 10 });
  await subject.start();
  const { pid } = subject.status;
  process.kill(pid ?? 0, 'SIGKILL');
  await until(() => subject.status.restarts === 1 && subject.status.phase === 'active', LIMIT_MS);
  expect(subject.status.pid).not.toBe(pid);
  expect(ended).toEqual(['s']);
});

test('the command after the end runs before the service starts again', async () => {
  const file = path.join(folder, 'order');
  const subject = service(`echo start >>${file}; test $(wc -l <${file}) -ge 3 && sleep 60; exit 1`, {
    restartAfterMs: 1,
    afterExit: ['sh', '-c', `echo release >>${file}`],
  });
  await subject.start();
  await until(() => subject.status.restarts === 1, LIMIT_MS);
  await until(async () => (await readFile(file, 'utf8')).split('\n').length === 4, LIMIT_MS);
  expect(await readFile(file, 'utf8')).toBe('start\nrelease\nstart\n');
});

test('a final exit code ends a service for good, and another does not', async () => {
  const final = service('exit 78', { restartAfterMs: 1, finalExitCodes: [78] });
  await final.start();
  await until(() => final.status.phase === 'failed', LIMIT_MS);
  expect(final.status.restarts).toBe(0);
  const other = service('exit 1', { restartAfterMs: 1, finalExitCodes: [78] });
  await other.start();
  await until(() => other.status.restarts > 1, LIMIT_MS);
});

test('stop ends the process and its helpers, runs the command after the end, and prevents a restart', async () => {
  const file = path.join(folder, 'released');
  const subject = service('sleep 61 & echo $! ; wait', { restartAfterMs: 1, afterExit: ['touch', file] });
  await subject.start();
  await until(async () => (await log()).includes('\n'), LIMIT_MS);
  const helper = Number((await log()).trim());
  await subject.stop();
  expect(subject.status).toMatchObject({ phase: 'inactive', pid: null, restarts: 0 });
  expect(await readFile(file, 'utf8')).toBe('');
  await until(async () => !(await readFile(`/proc/${helper}/cmdline`, 'utf8').catch(() => '')).includes('sleep'), LIMIT_MS);
});

test('waiting for readiness fails when the service ends first', async () => {
  const subject = service('exit 1', { probe: { kind: 'unix', path: path.join(folder, 'nobody') } });
  await subject.start();
  await expect(subject.untilReady()).rejects.toMatchObject({ code: 'component' });
});

test('starting a program that does not exist is an error, and can be tried again', async () => {
  const subject = service('', { command: ['/nowhere/program'] });
  await expect(subject.start()).rejects.toMatchObject({ code: 'component' });
  await expect(subject.start()).rejects.toMatchObject({ code: 'component' });
});
