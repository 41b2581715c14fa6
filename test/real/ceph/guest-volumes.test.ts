import { systemClock } from '../../../common/clock.ts';
import { silentLogger } from '../../../common/log.ts';
import { Rados } from '../../../common/rados/rados.ts';
import { RadosLink } from '../../../node-daemon/drivers/ceph-link.ts';
import { RbdVolumes } from '../../../node-daemon/drivers/volume.ts';
import { CephVolumeLocks } from '../../../node-daemon/drivers/volume-lock.ts';
import { guestVolumesContract, type GuestVolumesFixture } from '../../contract/guest-volumes.ts';
import { cephMissing, startCephCluster } from '../../support/ceph-cluster.ts';
import { until } from '../../support/until.ts';

const LIMIT_MS = 30_000;

async function makeFixture(): Promise<GuestVolumesFixture> {
  const ceph = await startCephCluster({ osds: 1, pools: ['vms'] });
  const link = new RadosLink({ config_file: ceph.configFile, client: 'client.admin', keyring_file: ceph.keyringFile }, { clock: systemClock, log: silentLogger });
  const other = await Rados.connect({ configFile: ceph.configFile });
  const locks = new CephVolumeLocks(link);
  return {
    volumes: new RbdVolumes(link),
    locks,
    async put({ pool, volume }, sizeBytes) {
      const rbd = other.rbd(pool);
      await ((await rbd.list()).includes(volume) ? rbd.resize(volume, sizeBytes) : rbd.create(volume, sizeBytes));
    },
    async open(ref) {
      let close = (): void => undefined;
      const closed = new Promise<void>((resolve) => (close = resolve));
      // An import has the image open until it knows of no more.
      async function* nothing(): AsyncGenerator<never> {
        await closed;
        yield* [];
      }
      const ended = other.rbd(ref.pool).import(ref.volume, nothing());
      await until(async () => (await locks.holders(ref)).watchers.length > 0, LIMIT_MS, 'the volume is open');
      return async () => {
        close();
        await ended;
      };
    },
    async leaveLock({ pool, volume }) {
      const dying = await Rados.connect({ configFile: ceph.configFile });
      await dying.rbd(pool).locks.lock(volume, 'left behind');
      await dying.close();
    },
    async stop() {
      await other.close();
      await link.stop();
      await ceph.stop();
    },
  };
}

guestVolumesContract('librbd', makeFixture, cephMissing());
