import { resolve } from 'node:path';
import { systemClock } from '../../common/clock.ts';
import { run } from '../../common/process.ts';
import { figure, median } from './figure.ts';
import type { LabBench } from './lab-scene.ts';

const HELP_BAR_MS = 150;
const LIST_BAR_MS = 250;
const RUNS = 21;
const LIMIT_MS = 10_000;

/** This file runs compiled, below dist. */
const COMMAND = resolve(import.meta.dirname, '../../client-package/cli/pvc.cjs');

/** The bundled `pvc` from its start to its end, and Node alone for comparison, in turns. */
export const pvcStart: LabBench = {
  name: 'pvc-start',
  async measure({ lab }) {
    const env = { PVC_API_URL: lab.url, PVC_API_TOKEN: lab.token };
    const took = async (...args: string[]): Promise<number> => {
      const beganMs = systemClock.monotonicMs();
      await run([process.execPath, ...args], { timeoutMs: LIMIT_MS, env });
      return systemClock.monotonicMs() - beganMs;
    };
    const node: number[] = [];
    const help: number[] = [];
    const list: number[] = [];
    for (let count = 0; count < RUNS; count += 1) {
      node.push(await took('--eval', '0'));
      help.push(await took(COMMAND, '--help'));
      list.push(await took(COMMAND, 'vm', 'list'));
    }
    return [figure('node-start', median(node), 'ms', null), figure('pvc-help', median(help), 'ms', HELP_BAR_MS), figure('pvc-vm-list', median(list), 'ms', LIST_BAR_MS)];
  },
};
