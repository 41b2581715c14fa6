import { isAppError } from '../errors.ts';
import type { CallOptions, Caller } from './call.ts';
import { poolCreateCall, poolDeleteCall, poolListCall, poolLookupCall } from './cluster-calls.ts';

/** Pools of the cluster. Settings of a pool (size, placement groups, application) are monitor commands: `osd pool set`. */
export class Pools {
  readonly #caller: Caller;

  constructor(caller: Caller) {
    this.#caller = caller;
  }

  async list(options?: CallOptions): Promise<string[]> {
    return this.#caller.call(poolListCall, {}, options);
  }

  /** The pool's number. @throws AppError 'not-found'. */
  async lookup(pool: string, options?: CallOptions): Promise<number> {
    return this.#caller.call(poolLookupCall, { name: pool }, options);
  }

  async exists(pool: string, options?: CallOptions): Promise<boolean> {
    try {
      await this.lookup(pool, options);
      return true;
    } catch (error) {
      if (isAppError(error, 'not-found')) return false;
      throw error;
    }
  }

  /**
   * With the cluster's default settings.
   * @param options.crushRule number of the rule that places its objects; the cluster's default when left out.
   * @throws AppError 'exists'; 'not-found' when there is no such rule.
   */
  async create(pool: string, options: CallOptions & { crushRule?: number } = {}): Promise<void> {
    const { crushRule } = options;
    await this.#caller.call(poolCreateCall, { name: pool, crushRule }, options);
  }

  /** Deletes it and all that is in it. @throws AppError 'not-found'; 'not-allowed' unless the monitors' mon_allow_pool_delete is on. */
  async delete(pool: string, options?: CallOptions): Promise<void> {
    await this.#caller.call(poolDeleteCall, { name: pool }, options);
  }
}
