import { z } from 'zod';
import type { ApiMirror } from '../cluster.ts';
import { text } from '../params/values.ts';
import { primaryNode } from '../present/status.ts';
import { done, messageReply, ok, route, type Reply, type Route } from '../route.ts';
import { CLUSTER_OPTIONS, type StorageOverview } from '../storage/storage-cluster.ts';

export interface StorageRouteDeps {
  mirror: ApiMirror;
  overview: StorageOverview;
}

const textView = (type: 'status' | 'utilization') =>
  z.object({ type: z.literal(type), primary_node: z.string().nullable(), ceph_data: z.string().describe('As the command prints it.') });

export function storageRoutes({ mirror, overview }: StorageRouteDeps): Route[] {
  const shown = (type: 'status' | 'utilization', cephData: string): Reply => ok({ type, primary_node: primaryNode(mirror) ?? null, ceph_data: cephData.trimEnd() });
  return [
    route({
      method: 'GET',
      path: '/storage/ceph/status',
      pathAliases: ['/storage/ceph'],
      summary: 'Show what ceph status prints',
      values: z.object({}),
      reply: { code: 200, schema: textView('status') },
      handle: async () => shown('status', await overview.statusText()),
    }),
    route({
      method: 'GET',
      path: '/storage/ceph/df',
      pathAliases: ['/storage/ceph/utilization'],
      summary: 'Show what rados df prints',
      values: z.object({}),
      reply: { code: 200, schema: textView('utilization') },
      handle: async () => shown('utilization', await overview.utilizationText()),
    }),
    route({
      method: 'POST',
      path: '/storage/ceph/cluster-option',
      pathAliases: ['/storage/ceph/option'],
      summary: 'Set or unset a flag of the whole storage cluster',
      description: 'See ceph osd set in the documentation of Ceph.',
      values: z.object({
        action: text(z.enum(['set', 'unset']), 'What to do.'),
        option: text(z.enum(CLUSTER_OPTIONS), 'Which flag.'),
      }),
      reply: { code: 200, schema: messageReply },
      handle: async ({ action, option }) => {
        await overview.setOption(action, option);
        return done(`option ${option} is ${action}`);
      },
    }),
  ];
}
