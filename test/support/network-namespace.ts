import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readlinkSync } from 'node:fs';
import { converse, follow, run, type Command, type Converse, type Follow, type Run } from '../../common/process.ts';

const LIMIT_MS = 20_000;

/** A private network namespace, with a private /run/netns so that further ones can be made in it with `ip netns add`. */
export interface NetworkNamespace {
  readonly run: Run;
  readonly follow: Follow;
  readonly converse: Converse;
  /** Runs the words of each line as a command inside. */
  commands(...lines: readonly string[]): Promise<void>;
  stop(): Promise<void>;
}

/** Everything in it is gone with this process, however that ends: the holder reads from it, and the namespace lives as long as the holder. */
export async function startNetworkNamespace(): Promise<NetworkNamespace> {
  const script = 'mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns && ip link set lo up && echo ready && read -r _';
  const holder = spawn('/usr/bin/unshare', ['--net', '--mount', '--', '/bin/sh', '-c', script], { stdio: ['pipe', 'pipe', 'inherit'] });
  await once(holder.stdout, 'data');
  const process_ = `/proc/${String(holder.pid)}/ns`;
  if (readlinkSync(`${process_}/net`) === readlinkSync('/proc/self/ns/net')) throw new Error("refused: this is the machine's own network namespace");
  const inside = (command: Command): Command => ['/usr/bin/nsenter', `--net=${process_}/net`, `--mount=${process_}/mnt`, '--', ...command];
  const runInside: Run = (command, options) => run(inside(command), options);
  return {
    run: runInside,
    follow: (command, options) => follow(inside(command), options),
    converse: (command, options) => converse(inside(command), options),
    async commands(...lines) {
      for (const line of lines) {
        const [program = '', ...args] = line.split(' ');
        await runInside([program, ...args], { timeoutMs: LIMIT_MS });
      }
    },
    async stop() {
      holder.kill('SIGKILL');
      if (holder.exitCode === null && holder.signalCode === null) await once(holder, 'exit');
    },
  };
}
