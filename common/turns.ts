/** Works on one thing are done one after the other, in the order in which they came; works on different things at the same time. */
export class Turns<Key = undefined> {
  readonly #last = new Map<Key, Promise<void>>();

  /**
   * Runs `work` after all that came before for this key, however that ended.
   * @throws what `work` throws.
   */
  async take<T>(key: Key, work: () => Promise<T>): Promise<T> {
    const mine = (this.#last.get(key) ?? Promise.resolve()).then(work);
    const over = mine.then(nothing, nothing);
    this.#last.set(key, over);
    try {
      return await mine;
    } finally {
      if (this.#last.get(key) === over) this.#last.delete(key);
    }
  }
}

const nothing = (): void => undefined;
