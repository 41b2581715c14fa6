import { once } from 'node:events';
import { connect } from 'node:net';
import { delay, systemClock } from '../../common/clock.ts';
import { shellSocket } from '../../lab/guest.ts';
import type { Lab } from './lab.ts';
import { BOOT_LIMIT_MS, eventually, LabVm } from './lab-vm.ts';

/** A command of the guest on two busy cores. */
const COMMAND_LIMIT_MS = 60_000;
const NUDGE_MS = 200;
/** For a guest that may not be listening yet, which loses what it is told. */
const LOOK_LIMIT_MS = 3_000;

export interface GuestAnswer {
  /** Standard output and standard error. */
  text: string;
  status: number;
}

/** A guest with network cards or disks, and a shell in it that needs no network. */
export class GuestShell extends LabVm {
  readonly #at: Lab;
  #count = 0;

  constructor(lab: Lab, name: string) {
    super(lab, name);
    this.#at = lab;
  }

  /** Runs a command line in the guest to its end; a guest that just moved is found again. */
  async sh(command: string, limitMs = COMMAND_LIMIT_MS): Promise<GuestAnswer> {
    const node = await this.#whereabouts();
    this.#count += 1;
    const path = `${await this.#at.root(node)}${shellSocket(this.name)}`;
    const [begin, end] = [`-begin ${this.#count}-`, `-end ${this.#count}-`];
    // A line of its own ends whatever a connection that broke has left, as there is no quote in it.
    const line = `\necho; echo ${begin}; ( ${command}\n) </dev/null 2>&1; echo ${end} $?-\n`;
    const socket = connect(path);
    try {
      await once(socket, 'connect');
      socket.setEncoding('utf8');
      let text = '';
      const done = new Promise<GuestAnswer>((resolve, reject) => {
        socket.on('data', (chunk: string) => {
          text += chunk;
          const match = new RegExp(`${begin}\\r?\\n([^]*)${end} (\\d+)-`, 'u').exec(text);
          if (match !== null) resolve({ text: match[1]!.replaceAll('\r', ''), status: Number(match[2]) });
        });
        socket.once('error', reject);
        socket.once('close', () => reject(new Error(`the shell of ${this.name} closed; it had said ${text}`)));
      });
      done.catch(() => undefined);
      socket.write(line);
      // QEMU's port may sit on what came last until something more comes; to the shell an empty line is nothing.
      const endMs = systemClock.monotonicMs() + limitMs;
      while (systemClock.monotonicMs() < endMs) {
        const answer = await Promise.race([done, delay(systemClock, NUDGE_MS)]);
        if (answer !== undefined) return answer;
        socket.write('\n');
      }
      throw new Error(`${this.name} did not end within ${limitMs} ms: ${command}; it said ${text}`);
    } finally {
      socket.destroy();
    }
  }

  override async boot(start: () => Promise<void>): Promise<void> {
    await super.boot(start);
    await this.listens();
  }

  /** Waits until its shell is there: what comes before is lost. */
  async listens(): Promise<void> {
    await eventually(async () => (await this.sh('true', LOOK_LIMIT_MS)).status === 0, BOOT_LIMIT_MS, () => `the shell of ${this.name}`);
  }

  /** The node that it is on, also while the API moves. */
  async #whereabouts(): Promise<string> {
    let node = '';
    await eventually(async () => (node = (await this.show()).node) !== '', LOOK_LIMIT_MS * 10, () => `the API to say where ${this.name} is`);
    return node;
  }

  /** The output of a command that must succeed. */
  async out(command: string, limitMs = COMMAND_LIMIT_MS): Promise<string> {
    const { text, status } = await this.sh(command, limitMs);
    if (status !== 0) throw new Error(`${this.name}: ${command}: exit ${status}: ${text}`);
    return text;
  }

  /** The guest's address of the family once it has one; IPv6 only global ones. */
  async address(family: 4 | 6, limitMs = 90_000): Promise<string> {
    let found: string | undefined;
    const command = family === 4 ? 'ip -4 -o addr show dev eth0' : 'ip -6 -o addr show dev eth0 scope global';
    await eventually(
      async () => {
        const { text } = await this.sh(command, LOOK_LIMIT_MS);
        found = text.includes('tentative') ? undefined : /inet6? ([^/ ]+)\//u.exec(text)?.[1];
        return found !== undefined;
      },
      limitMs,
      () => `${this.name} to have an IPv${family} address`,
    );
    return found!;
  }

  /** Whether one of a few pings of the guest is answered. */
  async reaches(address: string, limitS = 20): Promise<boolean> {
    return (await this.sh(`ping -c 2 -i 0.2 -W 1 -w ${limitS} ${address}`)).status === 0;
  }

  /** Pings ten times a second until told to stop. */
  async startPing(address: string): Promise<GuestPing> {
    const file = `/tmp/ping-${systemClock.monotonicMs().toFixed(0)}`;
    await this.out(`ping -i 0.1 ${address} >${file} 2>&1 & echo $! >${file}.pid`);
    await eventually(async () => (await this.sh(`grep -c seq= ${file}`)).status === 0, 30_000, () => `${this.name} to ping ${address}`);
    return new GuestPing(this, file);
  }
}

/** Waits until another `count` of each of these pings are answered. */
export async function pingsGoOn(pings: readonly GuestPing[], count: number, limitMs = 60_000): Promise<void> {
  const befores: number[] = [];
  for (const ping of pings) befores.push((await ping.answered()).length);
  for (const [index, ping] of pings.entries()) await eventually(async () => (await ping.answered()).length >= befores[index]! + count, limitMs, () => `${count} more answers`);
}

export interface PingResult {
  sent: number;
  lost: number;
  /** The longest row of lost ones. */
  longestGap: number;
}

export class GuestPing {
  readonly #guest: GuestShell;
  readonly #file: string;

  constructor(guest: GuestShell, file: string) {
    this.#guest = guest;
    this.#file = file;
  }

  /** Sequence numbers that were answered so far. */
  async answered(): Promise<number[]> {
    const text = await this.#guest.out(`sed -n 's/.*seq=\\([0-9]*\\) .*/\\1/p' ${this.#file}`);
    return text.split('\n').filter((line) => line !== '').map(Number);
  }

  /** Waits until another `count` pings are answered. */
  async goesOn(count: number, limitMs = 60_000): Promise<void> {
    await pingsGoOn([this], count, limitMs);
  }

  /** What was lost between the first answer and the last. */
  async stop(): Promise<PingResult> {
    await this.#guest.sh(`kill $(cat ${this.#file}.pid)`);
    const seen = [...new Set(await this.answered())].toSorted((a, b) => a - b);
    const gaps = seen.map((seq, index) => (index === 0 ? 0 : seq - seen[index - 1]! - 1));
    const sent = seen.length === 0 ? 0 : seen.at(-1)! - seen[0]! + 1;
    return { sent, lost: sent - seen.length, longestGap: Math.max(0, ...gaps) };
  }
}
