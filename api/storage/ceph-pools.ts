import { withTimeout, type Clock } from '../../common/clock.ts';
import { AppError, isAppError } from '../../common/errors.ts';
import type { PoolTier } from '../../common/schema/pool.ts';
import { Turns } from '../../common/turns.ts';
import { Cached } from './cached.ts';
import type { CephCommands } from './ceph-commands.ts';
import { clusterDf, crushRules, poolDump } from './ceph-documents.ts';
import type { ImageLists } from './image-lists.ts';
import { failureDomainOf, poolsOf, rbdPools, type PoolFigures } from './pool-facts.ts';
import { STORAGE_FIGURES_MS, type Pool, type PoolCreation, type PoolStorage } from './storage-cluster.ts';

/** The list of pools does not wait longer for the count of their volumes: it has to be there while OSDs hang. */
const COUNT_LIMIT_MS = 500;

/** Pools as the monitors know them, with the manager's figures. */
export class CephPools implements PoolStorage {
  readonly #commands: CephCommands;
  readonly #images: ImageLists;
  readonly #clock: Clock;
  readonly #figures: Cached<PoolFigures>;
  readonly #turns = new Turns<string>();

  constructor({ commands, images, clock }: { commands: CephCommands; images: ImageLists; clock: Clock }) {
    this.#commands = commands;
    this.#images = images;
    this.#clock = clock;
    this.#figures = new Cached({ clock, maxAgeMs: STORAGE_FIGURES_MS, load: () => loadFigures(commands) });
  }

  async names(): Promise<string[]> {
    return rbdPools(await this.#commands.osdDump()).map(({ pool_name }) => pool_name);
  }

  async list(): Promise<Pool[]> {
    const [dump, figures] = await Promise.all([this.#commands.osdDump(), this.#figures.get()]);
    return poolsOf(dump, figures, await this.#volumeCounts(rbdPools(dump).map(({ pool_name }) => pool_name)));
  }

  create(creation: PoolCreation): Promise<void> {
    // Ceph says nothing of a pool that exists already.
    return this.#turns.take(creation.name, () => this.#create(creation));
  }

  async setPgs(pool: string, pgs: number): Promise<void> {
    await this.#refuseUnlessThere(pool);
    await this.#commands.change({ prefix: 'osd pool set', pool, var: 'pg_num', val: String(pgs) });
    this.#figures.forget();
  }

  async remove(pool: string): Promise<void> {
    await this.#refuseUnlessThere(pool);
    await this.#commands.change({ prefix: 'osd pool rm', pool, pool2: pool, yes_i_really_really_mean_it: true });
    this.#figures.forget();
    this.#images.forget(pool);
  }

  async #refuseUnlessThere(pool: string): Promise<void> {
    if (!(await this.names()).includes(pool)) throw new AppError('not-found', 'there is no such pool', { pool });
  }

  async #create({ name, pgs, replication, tier }: PoolCreation): Promise<void> {
    if ((await this.#commands.osdDump()).pools.some(({ pool_name }) => pool_name === name)) throw new AppError('exists', 'a pool of this name exists', { pool: name });
    const rule = tier === 'default' ? {} : { rule: await this.#ruleOf(tier) };
    const size = replication === undefined ? {} : { size: replication.copies };
    // The number of placement groups is the one that was asked for: nothing is to change it by itself.
    await this.#commands.change({ prefix: 'osd pool create', pool: name, pool_type: 'replicated', pg_num: pgs, pgp_num: pgs, autoscale_mode: 'off', ...rule, ...size });
    if (replication !== undefined) await this.#commands.change({ prefix: 'osd pool set', pool: name, var: 'min_size', val: String(replication.minCopies) });
    await this.#commands.change({ prefix: 'osd pool application enable', pool: name, app: 'rbd' });
    await this.#commands.learnPools();
    this.#figures.forget();
  }

  /** The rule for disks of this class, made when there is none. */
  async #ruleOf(tier: PoolTier): Promise<string> {
    const rules = await this.#commands.monJson(crushRules, { prefix: 'osd crush rule dump' });
    const name = `replicated_${tier}`;
    if (!rules.some(({ rule_name }) => rule_name === name)) {
      await this.#commands.change({ prefix: 'osd crush rule create-replicated', name, root: 'default', type: failureDomainOf(rules), class: tier });
    }
    return name;
  }

  /** Of the pools that tell it in time. */
  async #volumeCounts(pools: readonly string[]): Promise<Map<string, number>> {
    const counted = await Promise.all(
      pools.map(async (pool) => {
        try {
          const count = await withTimeout(this.#clock, { timeoutMs: COUNT_LIMIT_MS, what: 'the volumes of a pool' }, () => this.#images.count(pool));
          return [[pool, count] as const];
        } catch (error) {
          if (isAppError(error, 'timeout', 'unavailable', 'not-found')) return [];
          throw error;
        }
      }),
    );
    return new Map(counted.flat());
  }
}

async function loadFigures(commands: CephCommands): Promise<PoolFigures> {
  const [df, objects, rules] = await Promise.all([
    commands.monJson(clusterDf, { prefix: 'df', detail: 'detail' }),
    commands.mgrJson(poolDump, { prefix: 'pg dump', dumpcontents: ['pools'] }),
    commands.monJson(crushRules, { prefix: 'osd crush rule dump' }),
  ]);
  return { df, objects, rules };
}
