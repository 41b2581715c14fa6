import { delay, systemClock } from '../../common/clock.ts';
import { describeError } from '../../common/errors.ts';
import type { Lab } from './lab.ts';

/** A guest boots in two seconds on an idle machine; with everything else on two cores it took ten times as long. */
export const BOOT_LIMIT_MS = 90_000;
const POLL_MS = 100;

interface ShownVm {
  name: string;
  uuid: string;
  state: string;
  node: string;
  last_node: string;
  migrated: string;
  failed_reason: string;
}

/** One VM of a lab, as a user of the HTTP API sees it. */
export class LabVm {
  readonly name: string;
  readonly #lab: Lab;
  uuid = '';

  constructor(lab: Lab, name: string) {
    this.#lab = lab;
    this.name = name;
  }

  /** A successful call under the VM's name. */
  async post(path: string, values: Record<string, string> = {}, address = this.name): Promise<void> {
    const reply = await this.#lab.call('POST', `/api/v1/vm/${address}${path}`, values);
    if (reply.status !== 200) throw new Error(`POST ${path} ${JSON.stringify(values)}: ${reply.status} ${JSON.stringify(reply.body)}`);
  }

  async define(values: Record<string, string> = {}, xml = this.#lab.guestXml(this.name)): Promise<void> {
    const reply = await this.#lab.call('POST', '/api/v1/vm', { xml, ...values });
    if (reply.status !== 200) throw new Error(`define: ${reply.status} ${JSON.stringify(reply.body)}`);
    this.uuid = (await this.show()).uuid;
  }

  async show(address = this.name): Promise<ShownVm> {
    const reply = await this.#lab.call('GET', `/api/v1/vm/${address}`);
    if (reply.status !== 200) throw new Error(`GET: ${reply.status} ${JSON.stringify(reply.body)}`);
    return reply.body as ShownVm;
  }

  async is(state: string, node?: string, limitMs = BOOT_LIMIT_MS): Promise<ShownVm> {
    let seen: ShownVm | undefined;
    await eventually(
      async () => {
        seen = await this.show();
        if (seen.state === 'fail' && state !== 'fail') throw new Error(`the VM failed: ${seen.failed_reason}`);
        return seen.state === state && (node === undefined || seen.node === node);
      },
      limitMs,
      () => `${this.name} in ${state} on ${node ?? 'any node'}; it is ${JSON.stringify(seen && { state: seen.state, node: seen.node })}`,
    );
    return seen!;
  }

  /** Numbers that the guest has counted on its serial console, oldest first, over all its boots. */
  async counts(lines = 1_000): Promise<number[]> {
    const reply = await this.#lab.call('GET', `/api/v1/vm/${this.name}/console`, { lines: String(lines) });
    const { data } = reply.body as { data: string };
    return [...data.matchAll(/GUEST: count (\d+)/gu)].map((match) => Number(match[1]));
  }

  /** How often the guest has begun to count. */
  async boots(): Promise<number> {
    return (await this.counts()).filter((count) => count === 1).length;
  }

  /** Carries out what starts the guest, and waits until it counts again from 1. */
  async boot(start: () => Promise<void>): Promise<void> {
    const before = await this.boots();
    await start();
    await eventually(async () => (await this.boots()) > before, BOOT_LIMIT_MS, () => `${this.name} to boot`);
  }

  /** Waits until the guest counts beyond `count`. */
  async countsBeyond(count: number, limitMs = BOOT_LIMIT_MS): Promise<number[]> {
    let seen: number[] = [];
    const further = async (): Promise<boolean> => {
      seen = await this.counts();
      return (seen.at(-1) ?? 0) > count;
    };
    try {
      await eventually(further, limitMs, () => `${this.name} to count beyond ${count}; it counted ${seen.slice(-3).join(', ')}`);
    } catch (error) {
      throw new Error(await this.#whatHostsSay(), { cause: error });
    }
    return seen;
  }

  /** Whether it is the guest that stands still, or what is told of it: its console's file and its processor, on each host. */
  async #whatHostsSay(): Promise<string> {
    const commands = [
      ['/usr/bin/tail', '-c', '200', `/var/log/libvirt/pvc/${this.uuid}.log`],
      ['/usr/bin/virsh', 'domstate', '--reason', this.uuid],
      ['/usr/bin/virsh', 'qemu-monitor-command', this.uuid, '--hmp', 'info registers'],
    ];
    const hosts = (await this.#lab.status()).hosts.map(({ name }) => name);
    const answers = hosts.flatMap((host) => commands.map(async (command) => `${host}: ${await this.#lab.exec(host, command).catch((error: unknown) => describeError(error))}`));
    return (await Promise.all(answers)).join('\n');
  }

  /** Hosts on which QEMU runs this guest now. */
  async runsOn(hosts: readonly string[]): Promise<string[]> {
    const lists = await Promise.all(hosts.map((host) => this.#lab.exec(host, ['/usr/bin/virsh', '-q', 'list', '--uuid', '--state-running'])));
    return hosts.filter((_, index) => lists[index]!.includes(this.uuid));
  }
}

/** True once for each number that follows its predecessor by one: a guest that was started again counts from 1. */
export function countsOn(counts: readonly number[]): boolean {
  return counts.every((count, index) => index === 0 || count === counts[index - 1]! + 1);
}

/** Looks ten times a second until the condition holds. A call that fails because the API is moving counts as "not yet". */
export async function eventually(condition: () => Promise<boolean>, limitMs: number, what: () => string): Promise<void> {
  const endMs = systemClock.monotonicMs() + limitMs;
  let last: Error | undefined;
  while (systemClock.monotonicMs() < endMs) {
    try {
      if (await condition()) return;
    } catch (error) {
      if (error instanceof Error && error.message.startsWith('the VM failed')) throw error;
      last = error instanceof Error ? error : new Error(String(error));
    }
    await delay(systemClock, POLL_MS);
  }
  throw new Error(`waited ${limitMs} ms for ${what()}${last === undefined ? '' : `; last failure: ${last.message}`}`);
}
