import { ClientError, toClientError } from '../../client-error.ts';
import type { Context } from '../context.ts';
import { canAsk } from '../terminal.ts';

/** What shows how far the work is. */
export interface Display<T> {
  show(seen: T): void;
  /** Leaves the screen as it is, for a question or for good; the next show() draws again. */
  rest(): void;
}

export interface Work<T> {
  /** For people: `the migration of VM web1`. */
  readonly what: string;
  /** The command that shows how it goes on. */
  readonly seeLater: string;
  /** How it is called off, if it can be: what that means, and the call. */
  readonly cancel?: { readonly about: string; run(): Promise<unknown> } | undefined;
  readonly display?: Display<T>;
  /** @throws ClientError. */
  wait(options: { limitMs: number; signal: AbortSignal; onProgress: (seen: T) => void }): Promise<T>;
}

/**
 * Waits for work that the cluster goes on with by itself. After Ctrl-C asks whether to leave it running or to cancel it; where nobody
 * can be asked it is left running.
 * @returns what was seen last; undefined when it was left running by an answer.
 * @throws ClientError: 'outcome' when it failed, was cancelled or is not over at the limit; 'aborted' when it was left running without a question.
 */
export async function attend<T>(context: Context, work: Work<T>): Promise<T | undefined> {
  const attendance = new Attendance(context, work);
  const restore = context.terminal.onInterrupt(() => attendance.interrupt());
  try {
    return await attendance.run();
  } finally {
    restore();
    work.display?.rest();
  }
}

type Answer = 'wait' | 'leave' | 'cancel';

class Attendance<T> {
  readonly #context: Context;
  readonly #work: Work<T>;
  readonly #over = new AbortController();
  /** The question that is open; its end is waited for before anything else is written. */
  #question: Promise<void> | undefined;
  #left: 'asked' | 'unasked' | undefined;

  constructor(context: Context, work: Work<T>) {
    this.#context = context;
    this.#work = work;
  }

  async run(): Promise<T | undefined> {
    const limitMs = this.#context.settings.waitLimitMs;
    try {
      return await this.#work.wait({ limitMs, signal: this.#over.signal, onProgress: (seen) => this.#show(seen) });
    } catch (error) {
      return this.#ended(toClientError(error), limitMs);
    } finally {
      await this.#question;
    }
  }

  /** Called for each Ctrl-C. */
  interrupt(): void {
    if (this.#question !== undefined) return;
    this.#work.display?.rest();
    if (!canAsk(this.#context.terminal)) {
      this.#left = 'unasked';
      this.#over.abort();
      return;
    }
    this.#question = this.#ask().finally(() => (this.#question = undefined));
  }

  #show(seen: T): void {
    if (this.#question === undefined) this.#work.display?.show(seen);
  }

  #ended(error: ClientError, limitMs: number): undefined {
    const { what, seeLater } = this.#work;
    if (error.kind === 'timeout') throw new ClientError('outcome', `${what} is not over after ${limitMs / 1_000} s, and goes on`, { details: [`see ${seeLater}`], cause: error });
    if (this.#left === undefined) throw error;
    if (this.#left === 'unasked') throw new ClientError('aborted', `${what} goes on`, { details: [`see ${seeLater}`] });
    this.#context.note(`${what} goes on: ${seeLater}`);
    return undefined;
  }

  async #ask(): Promise<void> {
    const answer = await this.#answer();
    if (answer === 'leave') {
      this.#left = 'asked';
      this.#over.abort();
    }
    if (answer === 'cancel') await this.#cancel();
  }

  /** Another Ctrl-C at the question leaves it running. */
  async #answer(): Promise<Answer> {
    const { askWhich } = await import('../prompt.ts');
    const { what, cancel } = this.#work;
    const choices = [
      { value: 'wait' as const, name: 'go on waiting' },
      { value: 'leave' as const, name: 'leave it running' },
      ...(cancel === undefined ? [] : [{ value: 'cancel' as const, name: `cancel it: ${cancel.about}` }]),
    ];
    try {
      return await askWhich<Answer>(this.#context.terminal, `${what} is not over.`, choices, this.#over.signal);
    } catch (error) {
      if (toClientError(error).kind === 'aborted') return 'leave';
      throw error;
    }
  }

  /** What the cluster says to it is told; the wait goes on until the work has ended, one way or the other. */
  async #cancel(): Promise<void> {
    try {
      await this.#work.cancel?.run();
    } catch (error) {
      this.#context.note(`pvc: ${toClientError(error).message}`);
    }
  }
}
