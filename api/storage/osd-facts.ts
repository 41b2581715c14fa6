import type { OsdDf, OsdDump, OsdMetadata, OsdStatusRow, OsdTree } from './ceph-documents.ts';
import type { Osd, OsdStatistics } from './storage-cluster.ts';

/** What Ceph tells of its OSDs beside what exists. */
export interface OsdFigures {
  df: OsdDf;
  tree: OsdTree;
  metadata: OsdMetadata;
  /** Undefined where the manager has no module that tells it. */
  status: readonly OsdStatusRow[] | undefined;
}

/** Each OSD that exists, by id. */
export function osdsOf(dump: OsdDump, { df, tree, metadata, status }: OsdFigures): Osd[] {
  const told = new Map(metadata.map((one) => [one.id, one]));
  const space = new Map(df.nodes.map((one) => [one.id, one]));
  const rows = new Map(status?.map((one) => [one.id, one]));
  const hosts = hostsOf(tree);
  const alone = dump.osds.map(({ osd: id, uuid, up, in: isIn, primary_affinity, state }): Osd => {
    const facts = told.get(id);
    const figures = space.get(id);
    const row = status === undefined && figures !== undefined ? rowWithoutRates(id, figures, state) : rows.get(id);
    return {
      id,
      uuid,
      up: up === 1,
      in: isIn === 1,
      primaryAffinity: primary_affinity,
      node: hosts.get(id) ?? facts?.hostname ?? null,
      deviceClass: figures?.device_class ?? '',
      device: deviceOf(facts),
      dbDevice: facts?.bluefs_dedicated_db === '1' ? firstDevice(facts.bluefs_db_devices) : null,
      isSplit: false,
      statistics: statisticsOf(figures, row),
    };
  });
  const count = (osd: Osd): number => alone.filter((one) => one.device !== null && one.node === osd.node && one.device === osd.device).length;
  return alone.map((osd) => ({ ...osd, isSplit: count(osd) > 1 })).sort((a, b) => a.id - b.id);
}

/** The host above each OSD. */
function hostsOf(tree: OsdTree): Map<number, string> {
  return new Map(tree.nodes.filter(({ type }) => type === 'host').flatMap(({ name, children }) => children.map((id) => [id, name] as const)));
}

/** On a file there is no device; its path says more than the name of the disk that it is on. */
function deviceOf(facts: OsdMetadata[number] | undefined): string | null {
  if (facts?.bluestore_bdev_access_mode === 'file') return facts.bluestore_bdev_path ?? null;
  return firstDevice(facts?.bluestore_bdev_devices);
}

function firstDevice(names: string | undefined): string | null {
  const [name = ''] = (names ?? '').split(',');
  return name === '' ? null : `/dev/${name}`;
}

/** What `osd status` would say, but for what is read and written at the moment, which nothing else tells. */
function rowWithoutRates(id: number, { kb_used, kb_avail }: OsdDf['nodes'][number], state: readonly string[]): OsdStatusRow {
  const size = (kib: number): string => `${Math.round(kib / 1024)}M`;
  return { id, used: size(kb_used), avail: size(kb_avail), writeOps: '0', writeData: '0', readOps: '0', readData: '0', state: state.join(',') };
}

function statisticsOf(space: OsdDf['nodes'][number] | undefined, row: OsdStatusRow | undefined): OsdStatistics | undefined {
  if (space === undefined || row === undefined) return undefined;
  return {
    weight: space.crush_weight,
    reweight: space.reweight,
    kb: space.kb,
    kbUsed: space.kb_used,
    kbUsedData: space.kb_used_data,
    kbUsedOmap: space.kb_used_omap,
    kbUsedMeta: space.kb_used_meta,
    kbAvail: space.kb_avail,
    utilization: space.utilization,
    variance: space.var,
    pgs: space.pgs,
    used: row.used,
    avail: row.avail,
    writeOps: row.writeOps,
    writeData: row.writeData,
    readOps: row.readOps,
    readData: row.readData,
    state: row.state,
  };
}
