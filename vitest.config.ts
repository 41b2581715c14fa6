import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

const forks = { pool: 'forks', passWithNoTests: false } as const;

/**
 * Whole machines, which take a quarter of an hour in all, so `npm test` leaves them out: a Debian with systemd under emulation (docs/systemd.md), and Debians on which
 * nothing is installed.
 */
const MACHINES = ['test/real/systemd/machine.test.ts', 'test/e2e/fresh-machine.test.ts'];

/** They measure how long a cluster is interrupted, so nothing runs beside them. */
const TIMED = ['test/e2e/faults.test.ts', 'test/e2e/network.test.ts'];

/** Some of their time is waiting, so two processors take three files at a time. */
const THREE_LANES = { maxWorkers: 3 } as const;

/** Clusters of processes. Groups run one after another. */
const TWO_LANES = { maxWorkers: 2 } as const;

/** These leave nothing behind in their process, and loading the modules anew for each file takes longer than the tests. */
const ONE_PROCESS = { isolate: false } as const;

/** They begin first in their group, so that no processor waits for the last of them; vitest itself goes by the size of files. */
const SLOWEST = ['sim/fault-points', 'e2e/cli', 'e2e/storage', 'e2e/examples', 'e2e/vm', 'e2e/osd'].map((name) => `/test/${name}.test.ts`);

class SlowestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const slow = SLOWEST.flatMap((name) => sorted.filter(({ moduleId }) => moduleId.endsWith(name)));
    return [...slow, ...sorted.filter((file) => !slow.includes(file))];
  }
}

/** Projects are the kinds of test of CONTRIBUTING.md; `real`, `e2e` and `e2e-timed` need root and the components. `npm test` runs those that lab/run-tests.mjs names. */
export default defineConfig({
  test: {
    sequence: { sequencer: SlowestFirst },
    projects: [
      {
        test: {
          ...forks,
          ...ONE_PROCESS,
          ...THREE_LANES,
          name: 'unit',
          include: ['{common,api,client,node-daemon,lab}/**/*.test.ts', 'test/architecture.test.ts'],
        },
      },
      { test: { ...forks, ...ONE_PROCESS, ...THREE_LANES, name: 'contract', include: ['test/contract/**/*.test.ts'], testTimeout: 60_000, hookTimeout: 60_000 } },
      { test: { ...forks, ...THREE_LANES, name: 'sim', include: ['test/sim/**/*.test.ts'], testTimeout: 60_000 } },
      {
        test: {
          ...forks,
          name: 'real',
          include: ['test/real/**/*.test.ts'],
          exclude: MACHINES,
          testTimeout: 120_000,
          hookTimeout: 120_000,
          ...TWO_LANES,
          sequence: { groupOrder: 1 },
        },
      },
      { test: { ...forks, name: 'machine', include: MACHINES, testTimeout: 240_000, hookTimeout: 240_000 } },
      {
        test: {
          ...forks,
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          exclude: [...TIMED, ...MACHINES],
          testTimeout: 240_000,
          hookTimeout: 240_000,
          ...TWO_LANES,
          sequence: { groupOrder: 2 },
        },
      },
      {
        test: {
          ...forks,
          name: 'e2e-timed',
          include: TIMED,
          testTimeout: 240_000,
          hookTimeout: 240_000,
          fileParallelism: false,
          sequence: { groupOrder: 3 },
        },
      },
    ],
  },
});
