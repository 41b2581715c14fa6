import { flag, integer } from '../declare.ts';
import { followLines, LINES_MAX } from '../progress/follow-lines.ts';
import { actVerb, textVerb, type Verb } from '../verb.ts';
import { VM } from './vm-parts.ts';

const console = textVerb({
  name: 'console',
  about: "Follow what a guest writes to its serial console",
  detail: 'Until Ctrl-C. A node tells what is new every few seconds. Nothing can be typed.',
  arguments: { vm: VM },
  options: {
    lines: integer('-n, --lines <n>', 'how many lines from before; 10 when missing', { min: 1, max: LINES_MAX }),
    noFollow: flag('--once', 'print them and end'),
  },
  examples: [
    ['pvc vm console web1', 'the last lines, and what comes'],
    ['pvc vm console web1 --lines 500 --once > boot.log', 'the last 500 lines'],
  ],
  run: async (context, { vm, lines, noFollow }) => {
    const vms = await context.vms();
    await followLines(context, { read: async (count) => (await vms.console(vm, { lines: count })).data, lines, follow: noFollow !== true });
  },
});

const locks = actVerb({
  name: 'locks',
  about: "Free the locks that dead clients have left on a VM's volumes",
  detail: 'Only of a VM that runs nowhere.',
  arguments: { vm: VM },
  examples: [['pvc vm locks web1', 'after its node has died']],
  run: async (context, { vm }) => (await context.vms()).freeLocks(vm),
});

export const VM_OUTPUT_VERBS: readonly Verb[] = [console, locks];
