import picocolors from 'picocolors';
import type { StatusView } from '../../../common/view/status.ts';
import { column, toneOfState, type Column } from './column.ts';
import { safeLine } from './safe-text.ts';
import { renderFields } from './table.ts';
import { showKib, showMib } from './units.ts';

/** Problems that are told; a screen has 24 lines. */
const PROBLEMS_MAX = 8;

function countsText(counts: Readonly<Record<string, number>>): string {
  const { total = 0, ...states } = counts;
  const parts = Object.entries(states).map(([state, count]) => `${count} ${state.replaceAll(',', ' ')}`);
  return total === 0 ? 'none' : `${total}: ${parts.join(', ')}`;
}

/** The whole when nothing was told, as where there is no storage. */
function useText(used: string, total: string, percent: number, isThere: boolean): string {
  return isThere ? `${used} of ${total} (${percent} %)` : '-';
}

/** What an API is told that listens on all addresses; it does not know which of them others reach. */
const ALL_ADDRESSES = ['0.0.0.0', '::'];

function addressText({ upstream_ip, primary_node }: StatusView): string {
  return ALL_ADDRESSES.includes(upstream_ip) ? `any of ${primary_node ?? 'the primary'}` : upstream_ip;
}

const FIELDS: readonly Column<StatusView>[] = [
  column('health', (row) => row.health, { show: (row) => `${row.health} (${row.cluster_health.health} %)`, tone: (row) => (row.health === 'Maintenance' ? 'busy' : toneOfState(row.health)) }),
  column('primary', (row) => row.primary_node, { tone: (row) => (row.primary_node === null ? 'bad' : undefined) }),
  column('address', (row) => row.upstream_ip, { show: addressText }),
  column('version', (row) => row.pvc_version),
  column('nodes', (row) => countsText(row.nodes)),
  column('VMs', (row) => countsText(row.vms)),
  column('networks', (row) => row.networks),
  column('OSDs', (row) => countsText(row.osds)),
  column('storage', (row) => `${row.pools} pools, ${row.volumes} volumes, ${row.snapshots} snapshots`),
  column('memory', ({ resources: { memory } }) => useText(showMib(memory.used), showMib(memory.total), memory.utilization, memory.total > 0)),
  column('for VMs', ({ resources: { memory } }) => `${showMib(memory.allocated)} in use, ${showMib(memory.provisioned)} defined`),
  column('CPU', ({ resources: { cpu } }) => `load ${cpu.load} on ${cpu.total} CPUs, ${cpu.allocated} vCPUs`),
  column('disk', ({ resources: { disk } }) => useText(showKib(disk.used), showKib(disk.total), disk.utilization, disk.total > 0)),
];

/** The cluster on one screen, with a line for each problem at the end. */
export function statusText(status: StatusView, coloured: boolean): string {
  const colours = picocolors.createColors(coloured);
  const problems = [...status.cluster_health.messages].sort((a, b) => b.health_delta - a.health_delta);
  const shown = problems.slice(0, PROBLEMS_MAX).map(({ text, health_delta }) => `${colours.red('✘')} ${safeLine(text)} ${colours.dim(`(-${health_delta} %)`)}\n`);
  const rest = problems.length > PROBLEMS_MAX ? [`  and ${problems.length - PROBLEMS_MAX} more: pvc cluster status --format json\n`] : [];
  const none = problems.length === 0 ? [`${colours.green('✔')} nothing is wrong\n`] : [];
  return [renderFields(FIELDS, status, coloured), '\n', ...shown, ...rest, ...none].join('');
}
