// @ts-check
import { performance } from 'node:perf_hooks';

/** Files that are named at the end, at most: the slowest. */
const SLOWEST_MAX = 10;

/** Tells, when all tests have ended, how long each project took from its first file to its last, and which files took longest, hooks included. */
export default class TestTimes {
  /** @type {Map<string, { project: string, beganMs: number, endedMs: number, name: string }>} */
  #files = new Map();

  /** @param {import('vitest/node').TestModule} file */
  onTestModuleQueued(file) {
    this.#files.set(file.id, { project: file.project.name, name: file.relativeModuleId, beganMs: performance.now(), endedMs: performance.now() });
  }

  /** @param {import('vitest/node').TestModule} file */
  onTestModuleEnd(file) {
    const entry = this.#files.get(file.id);
    if (entry !== undefined) entry.endedMs = performance.now();
  }

  onTestRunEnd() {
    const files = [...this.#files.values()];
    for (const project of new Set(files.map((file) => file.project))) {
      const its = files.filter((file) => file.project === project);
      say(project, Math.max(...its.map((file) => file.endedMs)) - Math.min(...its.map((file) => file.beganMs)));
    }
    const slowest = files.toSorted((a, b) => b.endedMs - b.beganMs - (a.endedMs - a.beganMs)).slice(0, SLOWEST_MAX);
    for (const file of slowest) say(file.name, file.endedMs - file.beganMs);
  }
}

/** @param {string} what @param {number} ms */
export function say(what, ms) {
  console.error(`-- ${(ms / 1_000).toFixed(1).padStart(7)} s  ${what}`);
}
