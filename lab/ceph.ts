import { z } from 'zod';
import { AppError, isAppError } from '../common/errors.ts';
import { run, type RunResult } from '../common/process.ts';
import { CEPH_POOL, cephMonitors, osdId, osdUuid, PLACEMENT_GROUPS } from './ceph-config.ts';
import { makeCephKeys, osdKey } from './ceph-keys.ts';
import { hostStatus, insideCommand } from './host.ts';
import { waitFor } from './processes.ts';
import { labHosts, type LabHost, type LabPlace, type LabState } from './state.ts';

/** A busy machine is given more than the seconds that it takes. */
const READY_TIMEOUT_MS = 120_000;
/** The command's own, for a cluster without a quorum; ours is longer. */
const CONNECT_TIMEOUT_S = 10;
const COMMAND_TIMEOUT_MS = 30_000;

const cephStatus = z.looseObject({
  health: z.looseObject({ status: z.string(), checks: z.record(z.string(), z.unknown()) }),
  quorum_names: z.array(z.string()),
  osdmap: z.looseObject({ num_osds: z.int(), num_up_osds: z.int() }),
  pgmap: z.looseObject({ num_pgs: z.int(), pgs_by_state: z.array(z.looseObject({ state_name: z.string(), count: z.int() })) }),
});
type CephStatus = z.infer<typeof cephStatus>;

/** Waits for the monitors, tells them of each host's OSD, makes the pool, and waits until all of it is in order. Done already is fine. */
export async function startCeph(place: LabPlace, state: LabState, step: (text: string) => void, signal: AbortSignal): Promise<void> {
  const [monitor] = cephMonitors(place, state);
  if (monitor === undefined) throw new AppError('bug', 'a lab has no coordinator');
  await waitFor({ what: "a quorum of Ceph's monitors", timeoutMs: READY_TIMEOUT_MS, signal }, () => statusFrom(monitor, signal));
  step(`Ceph's monitors have a quorum`);
  const keys = await makeCephKeys(place, state);
  await Promise.all(
    labHosts(place, state.nodes).map((host) => {
      const input = JSON.stringify({ cephx_secret: osdKey(keys, host) });
      return ceph(monitor, ['osd', 'new', osdUuid(state, host), String(osdId(host)), '-i', '-'], { signal, input });
    }),
  );
  await ceph(monitor, ['osd', 'pool', 'create', CEPH_POOL, String(PLACEMENT_GROUPS), String(PLACEMENT_GROUPS)], { signal });
  await ceph(monitor, ['osd', 'pool', 'application', 'enable', CEPH_POOL, 'rbd'], { signal });
  const status = await waitFor({ what: "Ceph's OSDs to be up and its placement groups to be clean", timeoutMs: READY_TIMEOUT_MS, signal }, async () => {
    const now = await statusFrom(monitor, signal);
    return now !== undefined && now.osdmap.num_up_osds === state.nodes && isClean(now) ? now : undefined;
  });
  step(`Ceph is ready, with pool ${CEPH_POOL}: ${describeStatus(status)}`);
}

function isClean({ pgmap }: CephStatus): boolean {
  return pgmap.num_pgs > 0 && pgmap.pgs_by_state.every((group) => group.state_name.startsWith('active+clean'));
}

/** Ceph's health in a line, as a host that is on hears it. */
export async function cephHealth(place: LabPlace, state: LabState): Promise<string> {
  for (const host of labHosts(place, state.nodes)) {
    const { power, link } = await hostStatus(place, host);
    const status = power === 'on' && link === 'plugged' ? await statusFrom(host, new AbortController().signal) : undefined;
    if (status !== undefined) return describeStatus(status);
  }
  return 'does not answer';
}

function describeStatus({ health, quorum_names: quorum, osdmap }: CephStatus): string {
  const checks = Object.keys(health.checks);
  return `${health.status}${checks.length === 0 ? '' : ` (${checks.join(', ')})`}, monitors ${quorum.join(' ')}, ${osdmap.num_up_osds} of ${osdmap.num_osds} OSDs up`;
}

/** Undefined while no quorum answers. */
async function statusFrom(host: LabHost, signal: AbortSignal): Promise<CephStatus | undefined> {
  try {
    const { stdout } = await ceph(host, ['status', '--format', 'json'], { signal });
    return cephStatus.parse(JSON.parse(stdout));
  } catch (error) {
    if (isAppError(error, 'component', 'timeout', 'state')) return undefined;
    throw error;
  }
}

async function ceph(host: LabHost, args: readonly string[], options: { signal: AbortSignal; input?: string }): Promise<RunResult> {
  const command = await insideCommand(host, ['ceph', '--connect-timeout', String(CONNECT_TIMEOUT_S), ...args]);
  return run(command, { timeoutMs: COMMAND_TIMEOUT_MS, cwd: '/', ...options });
}
