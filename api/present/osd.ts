import type { OsdView } from '../../common/view/osd.ts';
import type { Osd } from '../storage/storage-cluster.ts';

/** What the existing command lines take for "not known yet". */
const UNKNOWN = '|';

export function presentOsd(osd: Osd): OsdView {
  const node = osd.node ?? UNKNOWN;
  return {
    id: String(osd.id),
    fsid: osd.uuid,
    node,
    device: osd.device,
    is_split: osd.isSplit,
    db_device: osd.dbDevice,
    stats: { uuid: osd.uuid, up: digit(osd.up), in: digit(osd.in), primary_affinity: osd.primaryAffinity, class: osd.deviceClass, node, ...presentStatistics(osd) },
  };
}

type Statistics = Omit<OsdView['stats'], 'uuid' | 'up' | 'in' | 'primary_affinity' | 'class' | 'node'>;

function presentStatistics({ statistics: found, up }: Osd): Statistics {
  return {
    utilization: found?.utilization ?? 0,
    var: found?.variance ?? 0,
    pgs: found?.pgs ?? 0,
    kb: found?.kb ?? 0,
    kb_used: found?.kbUsed ?? 0,
    kb_used_data: found?.kbUsedData ?? 0,
    kb_used_omap: found?.kbUsedOmap ?? 0,
    kb_used_meta: found?.kbUsedMeta ?? 0,
    kb_avail: found?.kbAvail ?? 0,
    weight: found?.weight ?? 0,
    reweight: found?.reweight ?? 0,
    used: found?.used ?? '0',
    avail: found?.avail ?? '0',
    wr_ops: found?.writeOps ?? '0',
    wr_data: found?.writeData ?? '0',
    rd_ops: found?.readOps ?? '0',
    rd_data: found?.readData ?? '0',
    state: found?.state ?? (up ? 'exists,up' : 'exists'),
  };
}

export function digit(value: boolean): 0 | 1 {
  return value ? 1 : 0;
}
