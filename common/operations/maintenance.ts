import { MAINTENANCE_ID, pathOf } from '../schema/resources.ts';
import type { Store } from '../store/store.ts';
import { readResource } from './update-resource.ts';

/** The mirror shows an own write within milliseconds. */
const MIRROR_WAIT_MS = 5_000;

/** What the switch needs: the store, and the mirror that shows it. */
export interface MaintenanceContext {
  store: Store;
  mirror: { waitFor(kind: 'maintenance', id: string, version: number, limit: { timeoutMs: number }): Promise<void> };
}

/**
 * Switches the cluster's maintenance; it being so already is fine. Resolves when the mirror shows it.
 * @throws AppError 'conflict' or 'exists' when somebody else switches it at the same time.
 */
export async function setMaintenance({ store, mirror }: MaintenanceContext, on: boolean): Promise<void> {
  const path = pathOf('maintenance', MAINTENANCE_ID);
  const current = await readResource({ store }, 'maintenance', MAINTENANCE_ID);
  const unchanged = current?.doc.on === on ? current.version : undefined;
  const written = async (): Promise<number> => (current === undefined ? await store.create(path, { on }) : await store.update(path, { on }, current.version)).version;
  const version = unchanged ?? (await written());
  await mirror.waitFor('maintenance', MAINTENANCE_ID, version, { timeoutMs: MIRROR_WAIT_MS });
}
