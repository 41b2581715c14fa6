import { appendFile, readFile } from 'node:fs/promises';
import path from 'node:path';
import { systemClock } from '../../common/clock.ts';
import { findHost } from '../../lab/state.ts';
import type { Lab } from './lab.ts';
import { eventually } from './lab-vm.ts';

/** An address and the time, in milliseconds, in which one host had it. */
export interface Holding {
  host: string;
  address: string;
  fromMs: number;
  toMs: number;
}

const PROBE = '203.0.113.1';

/**
 * Who had which address when, told by each host's kernel (`ip monitor`). The hosts share a clock. A host that lost its mains holds its addresses
 * until `lost`.
 */
export class AddressWatch {
  readonly #lab: Lab;
  readonly #hosts: readonly string[];

  constructor(lab: Lab, hosts: readonly string[]) {
    this.#lab = lab;
    this.#hosts = hosts;
  }

  #file(host: string): string {
    return path.join(findHost(this.#lab.place, this.#lab.state, host).folder, 'log', 'addresses.log');
  }

  /** Watches the host from now on; returns when its kernel's events arrive. */
  async begin(host: string): Promise<void> {
    const file = this.#file(host);
    await this.#lab.exec(host, ['/bin/sh', '-c', `setsid ip -ts -o monitor address >>${file} 2>&1 </dev/null &`]);
    await eventually(
      async () => {
        await this.#lab.exec(host, ['/bin/sh', '-c', `ip address replace ${PROBE}/32 dev lo; ip address del ${PROBE}/32 dev lo`]);
        return (await readFile(file, 'utf8')).includes(PROBE);
      },
      20_000,
      () => `the monitor of ${host}`,
    );
    // What was there before; what comes twice counts once.
    const now = await this.#lab.exec(host, ['/bin/sh', '-c', 'date +%Y-%m-%dT%H:%M:%S.%6N; ip -o address show']);
    const [stamp = '', ...lines] = now.trim().split('\n');
    await appendFile(file, lines.map((line) => `[${stamp}] ${line}\n`).join(''));
  }

  async beginAll(): Promise<void> {
    await Promise.all(this.#hosts.map((host) => this.begin(host)));
  }

  /** The host's mains are being cut: whatever it has ends here. */
  async lost(host: string): Promise<void> {
    await appendFile(this.#file(host), `[${new Date(systemClock.nowMs()).toISOString().slice(0, -1)}] lost\n`);
  }

  /** All holdings of addresses that more than one host had. The kernel makes one of a guest's MAC for its tap, which is there twice in a migration. */
  async shared(): Promise<Holding[]> {
    const all = (await Promise.all(this.#hosts.map(async (host) => holdings(host, await readFile(this.#file(host), 'utf8'))))).flat();
    const isElsewhere = (one: Holding): boolean => all.some(({ address, host }) => address === one.address && host !== one.host);
    return all.filter((one) => !one.address.startsWith(`${PROBE}/`) && !/^(127\.|::1\/|fe80::fc54:)/u.test(one.address) && isElsewhere(one));
  }
}

/** Pairs of hosts that had one address at the same time. */
export function overlaps(held: readonly Holding[]): string[] {
  return held.flatMap((one, index) =>
    held
      .slice(index + 1)
      .filter((other) => other.address === one.address && other.host !== one.host && other.fromMs < one.toMs && one.fromMs < other.toMs)
      .map((other) => `${one.address} on ${one.host} and ${other.host} for ${Math.min(one.toMs, other.toMs) - Math.max(one.fromMs, other.fromMs)} ms`),
  );
}

/** Of lines such as `[2026-01-02T03:04:05.678901] Deleted 4: vmbr5    inet 10.5.0.1/24 scope global vmbr5`. */
function holdings(host: string, text: string): Holding[] {
  const lines = text.split('\n').flatMap((line) => {
    const match = /^\[([^\]]+)\] (lost|(Deleted )?\d+: \S+\s+inet6? (\S+))/u.exec(line);
    return match === null ? [] : [{ atMs: timeOf(match[1]!), kind: match[2] === 'lost' ? 'lost' : match[3] === undefined ? 'added' : 'gone', address: match[4] ?? '' }];
  });
  const open = new Map<string, number>();
  const closed: Holding[] = [];
  const close = (address: string, toMs: number): void => {
    const fromMs = open.get(address);
    if (fromMs !== undefined) closed.push({ host, address, fromMs, toMs });
    open.delete(address);
  };
  for (const { atMs, kind, address } of lines.toSorted((a, b) => a.atMs - b.atMs)) {
    if (kind === 'lost') for (const one of [...open.keys()]) close(one, atMs);
    else if (kind === 'gone') close(address, atMs);
    else if (!open.has(address)) open.set(address, atMs);
  }
  for (const address of [...open.keys()]) close(address, Number.POSITIVE_INFINITY);
  return closed;
}

/** With the microseconds, of which Date knows nothing. */
function timeOf(stamp: string): number {
  const [seconds = '', fraction = '0'] = stamp.split('.');
  return Date.parse(`${seconds}Z`) + Number(`0.${fraction}`) * 1_000;
}
