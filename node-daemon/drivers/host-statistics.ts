import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { AppError } from '../../common/errors.ts';
import { hasErrno } from './errno.ts';

/** What changes by itself. */
export interface HostLoad {
  /** Average of runnable processes over one minute. */
  load: number;
  memoryTotalMib: number;
  /** Total less what could be given to a new guest. */
  memoryUsedMib: number;
  /** MemAvailable: free memory and what the kernel would give up for a guest. */
  memoryFreeMib: number;
}

/** What changes with a reboot at most. */
export interface HostFacts {
  cpuCount: number;
  kernel: string;
  os: string;
  arch: string;
}

export interface HostStatistics {
  facts(): Promise<HostFacts>;
  load(): Promise<HostLoad>;
}

const KIB_PER_MIB = 1_024;

/**
 * One minute's average from /proc/loadavg (proc(5)).
 * @throws AppError 'component' for anything else.
 */
export function parseLoadAverage(text: string): number {
  const first = z.coerce.number().min(0).safeParse(text.trim().split(/\s+/u)[0] || undefined);
  if (!first.success) throw unexpected('/proc/loadavg', text);
  return first.data;
}

/**
 * Memory in MiB from /proc/meminfo, whose figures are KiB (proc(5)).
 * @throws AppError 'component' without MemTotal or MemAvailable.
 */
export function parseMemory(text: string): Omit<HostLoad, 'load'> {
  const totalMib = meminfoMib(text, 'MemTotal');
  const freeMib = Math.min(totalMib, meminfoMib(text, 'MemAvailable'));
  return { memoryTotalMib: totalMib, memoryUsedMib: totalMib - freeMib, memoryFreeMib: freeMib };
}

function meminfoMib(text: string, key: string): number {
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${key}:`));
  const kib = z.coerce.number().int().min(0).safeParse(line?.split(/\s+/u)[1]);
  if (!kib.success) throw unexpected('/proc/meminfo', text);
  return Math.floor(kib.data / KIB_PER_MIB);
}

/**
 * Number of online processors from the `cpuN` lines of /proc/stat (proc(5)).
 * @throws AppError 'component' when there is none.
 */
export function parseCpuCount(text: string): number {
  const count = text.split('\n').filter((line) => /^cpu\d+ /u.test(line)).length;
  if (count === 0) throw unexpected('/proc/stat', text);
  return count;
}

/** PRETTY_NAME of os-release(5), a file of shell assignments; 'Linux' where there is none. */
export function parseOsName(text: string): string {
  const line = text.split('\n').find((candidate) => candidate.startsWith('PRETTY_NAME='));
  const value = line?.slice('PRETTY_NAME='.length).trim().replace(/^(["'])(.*)\1$/u, '$2');
  return value === undefined || value === '' ? 'Linux' : value.replaceAll(/\\(["$`\\])/gu, '$1');
}

function unexpected(file: string, text: string): AppError {
  return new AppError('component', 'the kernel answered something unexpected', { file, text: text.slice(0, 200) });
}

/** Kernel's name for this processor; Node's own differs ('x64'). Others are passed on as Node has them. */
export function machineName(nodeArch: string): string {
  switch (nodeArch) {
    case 'x64':
      return 'x86_64';
    case 'arm64':
      return 'aarch64';
    case 'ppc64':
      return 'ppc64le';
    default:
      return nodeArch;
  }
}

/** The host's figures from /proc and os-release. A few file reads, no process. */
export class ProcHostStatistics implements HostStatistics {
  readonly #arch: string;

  /** @param nodeArch `process.arch`. */
  constructor(nodeArch: string) {
    this.#arch = nodeArch;
  }

  async facts(): Promise<HostFacts> {
    const [stat, release, osRelease] = await Promise.all([
      readFile('/proc/stat', 'utf8'),
      readFile('/proc/sys/kernel/osrelease', 'utf8'),
      readOsRelease(),
    ]);
    return { cpuCount: parseCpuCount(stat), kernel: release.trim(), os: parseOsName(osRelease), arch: machineName(this.#arch) };
  }

  async load(): Promise<HostLoad> {
    const [loadavg, meminfo] = await Promise.all([readFile('/proc/loadavg', 'utf8'), readFile('/proc/meminfo', 'utf8')]);
    return { load: parseLoadAverage(loadavg), ...parseMemory(meminfo) };
  }
}

/** os-release(5) names two places, in this order. */
async function readOsRelease(): Promise<string> {
  for (const file of ['/etc/os-release', '/usr/lib/os-release']) {
    try {
      return await readFile(file, 'utf8');
    } catch (error) {
      if (!hasErrno(error, 'ENOENT')) throw error;
    }
  }
  return '';
}
