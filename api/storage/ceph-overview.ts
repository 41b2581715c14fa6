import type { Clock } from '../../common/clock.ts';
import type { CephAccess } from '../../common/config.ts';
import type { Run } from '../../common/process.ts';
import { Cached } from './cached.ts';
import { READ_LIMIT_MS, type CephCommands } from './ceph-commands.ts';
import { clusterDf, clusterHealth } from './ceph-documents.ts';
import { presentOrGone, type ImageLists } from './image-lists.ts';
import { rbdPools } from './pool-facts.ts';
import { STORAGE_FIGURES_MS, type ClusterOption, type StorageOverview, type StorageSummary } from './storage-cluster.ts';

/** The cluster as a whole, as the monitors know it. */
export class CephOverview implements StorageOverview {
  readonly #commands: CephCommands;
  readonly #images: ImageLists;
  readonly #utilization: Cached<string>;

  constructor({ commands, images, access, run, clock }: { commands: CephCommands; images: ImageLists; access: CephAccess; run: Run; clock: Clock }) {
    this.#commands = commands;
    this.#images = images;
    this.#utilization = new Cached({ clock, maxAgeMs: STORAGE_FIGURES_MS, load: () => radosDf(access, run) });
  }

  statusText(): Promise<string> {
    return this.#commands.monText({ prefix: 'status' });
  }

  utilizationText(): Promise<string> {
    return this.#utilization.get();
  }

  async summary(): Promise<StorageSummary> {
    const [dump, { stats }, { checks }] = await Promise.all([
      this.#commands.osdDump(),
      this.#commands.monJson(clusterDf, { prefix: 'df', detail: 'detail' }),
      this.#commands.monJson(clusterHealth, { prefix: 'health' }),
    ]);
    const pools = rbdPools(dump);
    const images = (await Promise.all(pools.map(({ pool_name }) => presentOrGone(this.#images.recent(pool_name))))).flat();
    return {
      osds: dump.osds.map(({ osd, up, in: isIn }) => ({ id: osd, up: up === 1, in: isIn === 1 })),
      pools: pools.length,
      volumes: images.length,
      snapshots: images.reduce((sum, { snapshots }) => sum + snapshots.filter(({ isOfUser }) => isOfUser).length, 0),
      space: { totalBytes: stats.total_bytes, usedBytes: stats.total_used_raw_bytes, freeBytes: stats.total_avail_bytes },
      checks: Object.entries(checks)
        .filter(([, { muted }]) => !muted)
        .map(([id, { severity, summary }]) => ({ id, isError: severity === 'HEALTH_ERR', message: summary.message })),
    };
  }

  async setOption(action: 'set' | 'unset', option: ClusterOption): Promise<void> {
    await this.#commands.change({ prefix: `osd ${action}`, key: option });
  }
}

/** The library has no such command: its text is made by the program. */
async function radosDf({ config_file, client, keyring_file }: CephAccess, run: Run): Promise<string> {
  const { stdout } = await run(['rados', '--conf', config_file, '--name', client, '--keyring', keyring_file, 'df'], { timeoutMs: READ_LIMIT_MS });
  return stdout;
}
