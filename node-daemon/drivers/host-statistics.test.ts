import { availableParallelism } from 'node:os';
import { expect, test } from 'vitest';
import { AppError } from '../../common/errors.ts';
import { machineName, parseCpuCount, parseLoadAverage, parseMemory, parseOsName, ProcHostStatistics } from './host-statistics.ts';

test('the first average of three is the load', () => {
  expect(parseLoadAverage('0.52 0.58 0.59 1/389 12345\n')).toBe(0.52);
});

test('memory that the kernel would give up counts as free', () => {
  const text = 'MemTotal:        8148144 kB\nMemFree:          300000 kB\nMemAvailable:    4096000 kB\n';
  expect(parseMemory(text)).toEqual({ memoryTotalMib: 7_957, memoryUsedMib: 3_957, memoryFreeMib: 4_000 });
});

test('the line of all processors together is not counted', () => {
  expect(parseCpuCount('cpu  1 2 3\ncpu0 1 2 3\ncpu1 1 2 3\nintr 5\n')).toBe(2);
});

test.each([
  ['PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian\n', 'Debian GNU/Linux 13 (trixie)'],
  ["NAME=x\nPRETTY_NAME='A \\$1'\n", 'A $1'],
  ['PRETTY_NAME=Plain\n', 'Plain'],
  ['', 'Linux'],
])('the name of the system in %j is %s', (text, name) => {
  expect(parseOsName(text)).toBe(name);
});

test.each([
  ['loadavg', () => parseLoadAverage('')],
  ['loadavg', () => parseLoadAverage('many')],
  ['meminfo', () => parseMemory('MemTotal: 5 kB\n')],
  ['stat', () => parseCpuCount('cpu 1 2\n')],
])('a %s that is not one is refused', (_name, parse) => {
  expect(parse).toThrow(AppError);
});

test('a processor has the name that the kernel gives it', () => {
  expect(machineName('x64')).toBe('x86_64');
  expect(machineName('riscv64')).toBe('riscv64');
});

test('this very host has figures that agree with each other', async () => {
  const statistics = new ProcHostStatistics(process.arch);
  const [facts, load] = await Promise.all([statistics.facts(), statistics.load()]);
  expect(facts.cpuCount).toBeGreaterThanOrEqual(availableParallelism());
  expect(facts.kernel).not.toMatch(/\s/u);
  expect(load.memoryUsedMib + load.memoryFreeMib).toBe(load.memoryTotalMib);
});
