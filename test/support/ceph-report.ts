import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach } from 'vitest';
import { isAppError } from '../../common/errors.ts';
import type { Command } from '../../common/process.ts';
import type { CephCluster, CephDaemon } from './ceph-cluster.ts';

/** Of each OSD's log. */
const LOG_END_CHARS = 2_000;

/**
 * The suite's first test that fails gets a second error, with the state that its cluster is in: a test cannot tell which daemon let it wait.
 * As an error it is in the list at the end, which is all that some CI systems keep.
 */
export function tellOnFailure(cluster: () => CephCluster | undefined): void {
  let told = false;
  afterEach(async ({ task }) => {
    const ceph = cluster();
    if (task.result?.state !== 'fail' || ceph === undefined || told) return;
    told = true;
    throw new Error(`the state of Ceph at the end of this test:\n${await reportOf(ceph)}`);
  });
}

async function reportOf(ceph: CephCluster): Promise<string> {
  const commands = [['ceph', '-s'], ['ceph', 'health', 'detail'], ['ceph', 'osd', 'tree'], ['ceph', 'pg', 'dump', 'pgs_brief']] as const;
  const answers = await Promise.all(commands.map((command) => answer(ceph, ['timeout', '10', ...command])));
  return [...answers, ...(await Promise.all(ceph.osds.map((osd) => osdReport(ceph, osd))))].join('\n');
}

/** The process, the map that it has and what it works on (asked over its own socket, which needs no monitor), and the end of its log. */
async function osdReport(ceph: CephCluster, { name, pid }: CephDaemon): Promise<string> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => 'no such process');
  const folder = path.join(ceph.folder, 'run');
  const socket = (await readdir(folder)).find((file) => file.startsWith(`${name}.${pid}.`));
  const asked = ['status', 'dump_ops_in_flight'].map((what) => answer(ceph, ['timeout', '10', 'ceph', '--admin-daemon', path.join(folder, socket ?? ''), what]));
  const answers = (await Promise.all(asked)).join('\n');
  const log = await readFile(path.join(ceph.folder, `${name}.ceph.log`), 'utf8').catch(() => '');
  return `${name}, process ${pid}: ${/^State:.*$/mu.exec(status)?.[0] ?? status}\n${answers}\n${log.slice(-LOG_END_CHARS)}`;
}

async function answer(ceph: CephCluster, command: Command): Promise<string> {
  try {
    return `# ${command.join(' ')}\n${await ceph.exec(command)}`;
  } catch (error) {
    if (!isAppError(error)) throw error;
    return `# ${command.join(' ')}\n${error.message}: ${String(error.details['stderr'])}`;
  }
}
