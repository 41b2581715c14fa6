import type { Clock, Timer } from '../../common/clock.ts';
import { isAppError } from '../../common/errors.ts';
import { vmId, type NodeName, type VmId } from '../../common/ids.ts';
import type { ClusterMirror } from '../../common/operations/context.ts';
import { readResource } from '../../common/operations/update-resource.ts';
import { DONE, type Outcome, type Reconciler } from '../../common/reconcile/reconciler.ts';
import { pathOf, type Kind, type Versioned } from '../../common/schema/resources.ts';
import type { VmConsole } from '../../common/schema/vm-status.ts';
import type { Store } from '../../common/store/store.ts';
import type { ConsoleChunk, ConsoleLogs, ConsolePosition } from '../drivers/console-log.ts';
import { appendConsole, decodeConsole, wholeUtf8Bytes, type ConsoleLimits } from '../plans/vm-console.ts';

/** A znode holds 1 MiB; a fifth of it is about a thousand lines of two hundred characters. */
const TOTAL_MAX_BYTES = 200 * 1024;

/** A line of a boot log is far shorter; a guest that prints binary data must not fill the document with one line. */
const LINE_MAX_BYTES = 4 * 1024;

/** One document is written at most once in this time, in milliseconds. */
export const CONSOLE_INTERVAL_MS = 1_000;

export interface VmConsoleDeps {
  node: NodeName;
  store: Store;
  mirror: ClusterMirror;
  consoles: ConsoleLogs;
  linesMax: number;
}

/**
 * Keeps the console document of each VM that this node owns: what its guest printed since the document was last written is
 * appended, also by the node that a VM has moved to, and once more by the one it has left. The key is the VM's UUID. Files of VMs that are gone are removed.
 */
export class VmConsoleReconciler implements Reconciler {
  readonly #deps: VmConsoleDeps;
  readonly #limits: ConsoleLimits;
  /** Where each file was read to, so that a sweep over silent guests reads no document. */
  readonly #seen = new Map<string, ConsolePosition>();

  constructor(deps: VmConsoleDeps) {
    this.#deps = deps;
    this.#limits = { linesMax: deps.linesMax, totalMaxBytes: TOTAL_MAX_BYTES, lineMaxBytes: LINE_MAX_BYTES };
  }

  /** VMs to look at after a change of this document: those that came to this node, and those that are gone. */
  keysOf(kind: Kind, id: string): string[] {
    const { mirror, node } = this.#deps;
    if (kind === 'vm-status') return mirror.get(kind, id)?.doc.owner === node || this.#seen.has(id) ? [id] : [];
    return kind === 'vm' && mirror.get(kind, id) === undefined ? [id] : [];
  }

  async reconcile(key: string): Promise<Outcome> {
    const { mirror, consoles, node } = this.#deps;
    const vm = vmId.parse(key);
    if (mirror.get('vm', vm) === undefined) {
      this.#seen.delete(vm);
      // A file is evidence: only a mirror that holds everything may say that its VM is gone.
      if (mirror.staleForMs() === 0 && mirror.get('vm-status', vm) === undefined) await consoles.remove(vm);
      return DONE;
    }
    const isOwner = mirror.get('vm-status', vm)?.doc.owner === node;
    // A guest that has left printed its last lines here.
    if (isOwner || this.#seen.has(vm)) await this.#follow(vm);
    if (!isOwner) this.#seen.delete(vm);
    return DONE;
  }

  async #follow(vm: VmId): Promise<void> {
    const { consoles, store } = this.#deps;
    const seen = this.#seen.get(vm);
    if (seen !== undefined && isNothingNew(await consoles.read(vm, seen), seen)) return;
    const document = await readResource({ store }, 'vm-console', vm);
    const chunk = await consoles.read(vm, document?.doc.sources[this.#deps.node]);
    if (chunk === undefined) return;
    const next = this.#append(document?.doc, chunk);
    if (next !== undefined) await this.#write(vm, document, next);
    this.#seen.set(vm, chunk.end);
  }

  /** @returns undefined when there is nothing to write. */
  #append(before: VmConsole | undefined, chunk: ConsoleChunk): VmConsole | undefined {
    const wholeBytes = wholeUtf8Bytes(chunk.bytes);
    if (wholeBytes === 0) return undefined;
    const { node } = this.#deps;
    const unfinished = chunk.continuous && before?.unfinishedBy === node;
    const text = decodeConsole(chunk.bytes.subarray(0, wholeBytes));
    const after = appendConsole({ lines: before?.lines ?? [], unfinished }, text, this.#limits);
    const offsetBytes = chunk.end.offsetBytes - (chunk.bytes.length - wholeBytes);
    return {
      lines: [...after.lines],
      sources: { ...before?.sources, [node]: { fileId: chunk.end.fileId, offsetBytes } },
      unfinishedBy: after.unfinished ? node : null,
    };
  }

  async #write(vm: VmId, document: Versioned<VmConsole> | undefined, next: VmConsole): Promise<void> {
    const { store } = this.#deps;
    try {
      if (document === undefined) await store.create(pathOf('vm-console', vm), next);
      else await store.update(pathOf('vm-console', vm), next, document.version);
    } catch (error) {
      // The VM was removed meanwhile, and its console with it.
      if (!isAppError(error, 'not-found')) throw error;
    }
  }
}

function isNothingNew(chunk: ConsoleChunk | undefined, seen: ConsolePosition): boolean {
  return chunk === undefined || (chunk.end.fileId === seen.fileId && chunk.bytes.length === 0);
}

/**
 * Passes each key on at once, and then at most once per interval: a guest may print thousands of times a second.
 * The last event is never lost. @returns the function that takes events, with `stop` to end it.
 */
export function coalesce(clock: Clock, intervalMs: number, notify: (key: string) => void): { (key: string): void; stop(): void } {
  const windows = new Map<string, { timer: Timer; again: boolean }>();
  const open = (key: string): void => {
    notify(key);
    windows.set(key, { again: false, timer: clock.after(intervalMs, () => close(key)) });
  };
  const close = (key: string): void => {
    const again = windows.get(key)?.again === true;
    windows.delete(key);
    if (again) open(key);
  };
  const event = (key: string): void => {
    const window = windows.get(key);
    if (window === undefined) open(key);
    else window.again = true;
  };
  return Object.assign(event, {
    stop: () => {
      for (const { timer } of windows.values()) timer.cancel();
      windows.clear();
    },
  });
}
