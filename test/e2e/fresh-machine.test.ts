import { afterEach, describe, expect, test } from 'vitest';
import { typeFirstHour, PROMPT } from '../support/first-hour.ts';
import { FreshMachine, freshMachineMissing, type Suite } from '../support/fresh-machine.ts';

/** Everything is downloaded, unpacked and built. */
const INSTALL_LIMIT_MS = 1_500_000;
const TEST_LIMIT_MS = 2_400_000;
const SHORT_MS = 60_000;

const SUITES: readonly Suite[] = ['bookworm', 'trixie'];

describe.skipIf(freshMachineMissing() !== undefined)('on a Debian on which nothing was installed', () => {
  let machine: FreshMachine | undefined;

  afterEach(async () => {
    await machine?.stop();
    machine = undefined;
  });

  test.each(SUITES)("%s: README's first hour can be typed as it stands there, and away with it all", async (suite) => {
    machine = await FreshMachine.make(suite);
    const shell = machine.openShell({ PS1: PROMPT, NO_COLOR: '1' }, TEST_LIMIT_MS);
    await typeFirstHour(shell, { limitsMs: { 'npm run lab': INSTALL_LIMIT_MS } });
    expect(await machine.run(['npm', 'run', 'lab'], SHORT_MS)).toContain('http://127.0.0.1:7370');
    // Not every Debian's Ceph can tell what its OSDs do at the moment.
    const osds = 'export $(npm run -s lab -- env); pvc storage osd list --columns id --format raw';
    expect(await machine.run(['bash', '-c', osds], SHORT_MS)).toBe('0\n1\n2');
    await machine.run(['npm', 'run', 'lab', '--', 'down'], SHORT_MS);
    expect(await machine.run(['ps', '-e', '-o', 'comm='], SHORT_MS)).toMatch(/^bash\nsleep\nps$/u);
    expect(await machine.run(['ls', '/run/netns'], SHORT_MS).catch(() => '')).toBe('');
  }, TEST_LIMIT_MS);
});
