import { AppError } from './errors.ts';

interface Ask<Q, A> {
  readonly question: Q;
  readonly resolve: (answer: A) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Answers questions that come while one is being answered all together, by one call. An answer is never older than its question, and
 * there is one call at a time.
 */
export class Gathered<Q, A> {
  readonly #answer: (questions: readonly Q[]) => Promise<readonly A[]>;
  #waiting: Ask<Q, A>[] = [];
  #busy = false;

  /** @param answer gives an answer for each question, in their order. */
  constructor(answer: (questions: readonly Q[]) => Promise<readonly A[]>) {
    this.#answer = answer;
  }

  ask(question: Q): Promise<A> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ question, resolve, reject });
      if (!this.#busy) void this.#work();
    });
  }

  async #work(): Promise<void> {
    this.#busy = true;
    // Whoever asks in the same moment is asked with it.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const asked = this.#waiting;
      this.#waiting = [];
      await this.#answerAll(asked);
    }
    this.#busy = false;
  }

  async #answerAll(asked: readonly Ask<Q, A>[]): Promise<void> {
    try {
      const answers = await this.#answer(asked.map(({ question }) => question));
      if (answers.length !== asked.length) throw new AppError('bug', 'not every question was answered');
      answers.forEach((answer, index) => asked[index]?.resolve(answer));
    } catch (error) {
      for (const { reject } of asked) reject(error);
    }
  }
}
