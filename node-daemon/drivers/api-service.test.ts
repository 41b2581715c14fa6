import { expect, test } from 'vitest';
import { AppError } from '../../common/errors.ts';
import { run as runHere, type Command, type Run } from '../../common/process.ts';
import { createApiService, parseActiveState } from './api-service.ts';

function aRun(stdout = ''): { run: Run; commands: Command[] } {
  const commands: Command[] = [];
  return {
    commands,
    run: async (command) => {
      commands.push(command);
      return { stdout, stderr: '' };
    },
  };
}

test('a unit between two states is neither running nor stopped', () => {
  expect(parseActiveState('active\n')).toBe('running');
  expect(parseActiveState('failed')).toBe('stopped');
  expect(parseActiveState('inactive')).toBe('stopped');
  expect(parseActiveState('activating')).toBe('unknown');
  expect(parseActiveState('')).toBe('unknown');
});

test('a systemd unit is asked, started and stopped by name, without a word to the unit of this daemon', async () => {
  const { run, commands } = aRun('active');
  const service = createApiService({ kind: 'systemd', unit: 'pvc-api.service' }, run);
  await service.start();
  await service.stop();
  expect(await service.state()).toBe('running');
  expect(commands).toEqual([
    ['systemctl', 'start', '--job-mode=ignore-dependencies', '--', 'pvc-api.service'],
    ['systemctl', 'stop', '--job-mode=ignore-dependencies', '--', 'pvc-api.service'],
    ['systemctl', 'show', '--property=ActiveState', '--value', '--', 'pvc-api.service'],
  ]);
});

test('commands count from their last success, and nothing is known before it', async () => {
  const { run, commands } = aRun();
  const service = createApiService({ kind: 'command', start: ['up', 'x'], stop: ['down'] }, run);
  expect(await service.state()).toBe('unknown');
  await service.start();
  expect(await service.state()).toBe('running');
  await service.stop();
  expect(await service.state()).toBe('stopped');
  expect(commands).toEqual([['up', 'x'], ['down']]);
});

test('after a command that failed the state is unknown', async () => {
  const service = createApiService({ kind: 'command', start: ['up'], stop: ['down'] }, async (command) => {
    if (command[0] === 'down') throw new AppError('component', 'command failed');
    return { stdout: '', stderr: '' };
  });
  await service.start();
  await expect(service.stop()).rejects.toThrow('command failed');
  expect(await service.state()).toBe('unknown');
});

test.each([
  [0, 'running'],
  [3, 'stopped'],
  [1, 'unknown'],
] as const)('a status command that exits with %i says %s, whatever the last command did', async (code, expected) => {
  const service = createApiService({ kind: 'command', start: ['/bin/true'], stop: ['/bin/true'], status: ['/bin/sh', '-c', `exit ${code}`] }, runHere);
  await service.start();
  expect(await service.state()).toBe(expected);
  await service.stop();
  expect(await service.state()).toBe(expected);
});
