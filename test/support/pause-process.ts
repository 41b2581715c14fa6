import { readdirSync, readFileSync } from 'node:fs';
import { systemClock } from '../../common/clock.ts';

/** A thread that has its turn stands within microseconds; others when they get one. */
const LIMIT_MS = 5_000;

/** Stops a process as a hung machine would, and returns once each of its threads stands still (proc(5)): until then one may still answer. */
export function pauseProcess(pid: number): void {
  process.kill(pid, 'SIGSTOP');
  const endMs = systemClock.monotonicMs() + LIMIT_MS;
  while (!states(pid).every((state) => state === 'T')) {
    if (systemClock.monotonicMs() > endMs) throw new Error(`process ${pid} does not stop`);
  }
}

function states(pid: number): (string | undefined)[] {
  const folder = `/proc/${pid}/task`;
  return readdirSync(folder).map((thread) => /^State:\t(\w)/mu.exec(readFileSync(`${folder}/${thread}/status`, 'utf8'))?.[1]);
}
