import type { Clock } from '../clock.ts';
import { pathOf } from '../schema/resources.ts';
import type { Store } from '../store/store.ts';
import { takeNetworkTurn } from './network-turn.ts';
import { readResource, removeResource } from './update-resource.ts';

/** What a network has in other documents. */
export const NETWORK_PARTS = ['network-acl', 'dhcp-reservation', 'dhcp-lease'] as const;

interface Context {
  readonly store: Store;
  readonly clock: Clock;
}

/**
 * Removes the parts of a network that does not exist. Nothing happens while it exists.
 *
 * Whoever creates a network calls this before, so that parts which are seen here cannot become those of a new network until the turn is
 * given back: they are read first, and the network after them.
 * @returns how many documents went.
 * @throws AppError 'conflict' when a part has changed meanwhile, or others have the turn for too long.
 */
export async function removeNetworkParts(context: Context, id: string): Promise<number> {
  if ((await partsOf(context, id)).length === 0) return 0;
  return takeNetworkTurn(context, id, async () => {
    const parts = await partsOf(context, id);
    if ((await readResource(context, 'network', id)) !== undefined) return 0;
    for (const { kind, version } of parts) await removeResource(context, { kind, id }, version);
    return parts.length;
  });
}

async function partsOf({ store }: Context, id: string): Promise<{ kind: (typeof NETWORK_PARTS)[number]; version: number }[]> {
  const found = await Promise.all(NETWORK_PARTS.map(async (kind) => ({ kind, entry: await store.read(pathOf(kind, id)) })));
  return found.flatMap(({ kind, entry }) => (entry === undefined ? [] : [{ kind, version: entry.version }]));
}
