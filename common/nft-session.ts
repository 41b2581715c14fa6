import { withTimeout, type Clock } from './clock.ts';
import { AppError, describeError } from './errors.ts';
import type { Command, Conversation, Converse } from './process.ts';

/** nft answers this from itself, on one line of standard output: so everything before it is done. */
const MARK = 'describe meta mark\n';

/** nft --interactive remembers each line (nft(8)); it begins anew after so many. */
const ASKED_MAX = 1_000;

/** It writes what it remembers to a file in its home, so it has none. */
const ENV = { HOME: '/nonexistent' };

/** Of its last words, in an error. */
const SAID_MAX_CHARS = 1_000;

export interface NftAnswer {
  readonly stdout: string;
  /** Has a line with `Error:` when nothing was done: what nft does not take, and where. */
  readonly stderr: string;
}

export interface NftSessionDeps {
  converse: Converse;
  clock: Clock;
  /** Ends with `nft` and its options. */
  command: Command;
}

/** One nft that stays and is told one document after the other: a start of nft for each would take several times as long as the document. */
export class NftSession {
  readonly #deps: NftSessionDeps;
  #dialogue: Dialogue | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(deps: NftSessionDeps) {
    this.#deps = deps;
  }

  /**
   * Carries a line out as one transaction, such as `include "FILE"`. One at a time; others wait for their turn.
   * @throws AppError 'component' when nft cannot be run or ends; 'timeout', 'cancelled'. Then it may have been done or not.
   */
  ask(line: string, limit: { timeoutMs: number; signal?: AbortSignal | undefined }): Promise<NftAnswer> {
    const answer = this.#turn.then(() => this.#ask(line, limit));
    this.#turn = answer.catch(() => undefined);
    return answer;
  }

  /** Ends nft. The next question starts it again. */
  close(): void {
    this.#dialogue?.end();
    this.#dialogue = undefined;
  }

  async #ask(line: string, limit: { timeoutMs: number; signal?: AbortSignal | undefined }): Promise<NftAnswer> {
    try {
      if (this.#dialogue === undefined || this.#dialogue.isOver) this.#dialogue = new Dialogue(this.#deps);
      const dialogue = this.#dialogue;
      const answer = await withTimeout(this.#deps.clock, { ...limit, what: 'nft' }, () => dialogue.ask(line));
      if (dialogue.asked >= ASKED_MAX) this.close();
      return answer;
    } catch (error) {
      this.close();
      throw error;
    }
  }
}

/** From the start of one nft to its end. */
class Dialogue {
  readonly #conversation: Conversation;
  readonly #said = { stdout: '', stderr: '' };
  readonly #mark: Promise<string>;
  readonly #over: Promise<never>;
  #onText: () => void = () => undefined;
  #isOver = false;
  #asked = 0;

  constructor({ converse, command }: NftSessionDeps) {
    this.#conversation = converse([...command, '--interactive'], {
      env: ENV,
      onText: (text, from) => {
        this.#said[from] += text;
        this.#onText();
      },
    });
    this.#over = this.#conversation.ended.then(
      () => this.#end(new AppError('cancelled', 'nft was ended')),
      (cause: unknown) => this.#end(new AppError('component', 'nft ended by itself', { why: describeError(cause), stderr: this.#said.stderr.slice(0, SAID_MAX_CHARS) }, { cause })),
    );
    this.#over.catch(() => undefined);
    this.#mark = this.#until(MARK, (stdout) => stdout.endsWith('\n'));
    this.#mark.catch(() => undefined);
  }

  get asked(): number {
    return this.#asked;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  async ask(line: string): Promise<NftAnswer> {
    const mark = await this.#mark;
    this.#asked += 1;
    this.#said.stdout = '';
    this.#said.stderr = '';
    const stdout = await this.#until(`${line}\n${MARK}`, (text) => text.endsWith(mark));
    // What it has said on the other pipe before is read in the same turn.
    await new Promise((resolve) => setImmediate(resolve));
    return { stdout: stdout.slice(0, -mark.length), stderr: this.#said.stderr };
  }

  end(): void {
    this.#conversation.end();
  }

  #end(error: unknown): never {
    this.#isOver = true;
    throw error;
  }

  /** Standard output as soon as it is so. */
  #until(text: string, isDone: (stdout: string) => boolean): Promise<string> {
    const done = new Promise<string>((resolve) => {
      this.#onText = () => {
        if (isDone(this.#said.stdout)) resolve(this.#said.stdout);
      };
    });
    this.#conversation.say(text);
    return Promise.race([done, this.#over]);
  }
}
