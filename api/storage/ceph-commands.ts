import type { z } from 'zod';
import type { Rados } from '../../common/rados/rados.ts';
import { osdDump, parseCephJson, type OsdDump } from './ceph-documents.ts';

/** A command of `ceph`, as its JSON form has it: the words before the arguments, and the arguments by name. */
export interface CephCommand {
  prefix: string;
  [argument: string]: unknown;
}

/** What only reads. The monitors answer in a millisecond; an election takes them some seconds. */
export const READ_LIMIT_MS = 10_000;
/** What changes little: Ceph needs a second or two. */
export const CHANGE_LIMIT_MS = 30_000;
/** What takes as long as the data is large; the HTTP API waits no longer for anything. */
export const LONG_LIMIT_MS = 600_000;

/** The connection to Ceph, made when it is first needed, and again after it was lost. */
export interface CephLink {
  /** @throws AppError 'unavailable', 'timeout'. */
  rados(): Promise<Rados>;
}

const READ = { timeoutMs: READ_LIMIT_MS, isRead: true };

/** Commands to the monitors and the manager. */
export class CephCommands {
  readonly #link: CephLink;

  constructor(link: CephLink) {
    this.#link = link;
  }

  /** As the command prints it. */
  async monText(command: CephCommand): Promise<string> {
    const rados = await this.#link.rados();
    return (await rados.monCommand({ format: 'plain', ...command }, READ)).output.toString();
  }

  async monJson<S extends z.ZodType>(schema: S, command: CephCommand): Promise<z.output<S>> {
    return parseCephJson(schema, command.prefix, await this.monText({ ...command, format: 'json' }));
  }

  /** As the command prints it. */
  async mgrText(command: CephCommand): Promise<string> {
    const rados = await this.#link.rados();
    return (await rados.mgrCommand({ format: 'plain', ...command }, READ)).output.toString();
  }

  async mgrJson<S extends z.ZodType>(schema: S, command: CephCommand): Promise<z.output<S>> {
    return parseCephJson(schema, command.prefix, await this.mgrText({ ...command, format: 'json' }));
  }

  /** Has the monitors change something; resolves when they have. */
  async change(command: CephCommand): Promise<void> {
    const rados = await this.#link.rados();
    await rados.monCommand(command, { timeoutMs: CHANGE_LIMIT_MS });
  }

  /** Resolves when reads and writes know which pools there are now; commands always do. */
  async learnPools(): Promise<void> {
    const rados = await this.#link.rados();
    await rados.waitForLatestMap({ timeoutMs: READ_LIMIT_MS });
  }

  /** What exists now. */
  async osdDump(): Promise<OsdDump> {
    return this.monJson(osdDump, { prefix: 'osd dump' });
  }
}
