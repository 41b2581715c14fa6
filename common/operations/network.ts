import { isDeepStrictEqual } from 'node:util';
import { changedNetwork, homelessReservations, networkConflict, newNetwork, type NetworkSettings } from '../domain/network-settings.ts';
import { AppError, isAppError } from '../errors.ts';
import type { NetworkSpec } from '../schema/network.ts';
import type { Versioned } from '../schema/resources.ts';
import { catchUp } from './confirm-place.ts';
import type { ClusterMirror, OperationContext } from './context.ts';
import { removeNetworkParts } from './network-part.ts';
import { checkDocument, createResource, readResource, removeResource, updateResource } from './update-resource.ts';

/** Every way to change a network. */
export interface NetworkOperations {
  create(id: Pick<NetworkSpec, 'type' | 'vni'>, settings: NetworkSettings): Promise<NetworkSpec>;
  modify(vni: number, settings: NetworkSettings): Promise<NetworkSpec>;
  remove(vni: number): Promise<void>;
}

/** More networks than a host could have devices for in reasonable time. */
const NETWORKS_MAX = 4_000;

type Context = Pick<OperationContext, 'store' | 'mirror' | 'clock'>;

export function networkOperations(context: Context): NetworkOperations {
  return {
    create: (id, settings) => createNetwork(context, id, settings),
    modify: (vni, settings) => modifyNetwork(context, vni, settings),
    remove: (vni) => removeNetwork(context, vni),
  };
}

/**
 * The network with exactly this VNI or description.
 * @throws AppError 'not-found'.
 */
export function findNetwork(mirror: ClusterMirror, vniOrDescription: string): Versioned<NetworkSpec> {
  const byVni = /^0*[1-9]\d{0,7}$/u.test(vniOrDescription) ? mirror.get('network', String(Number(vniOrDescription))) : undefined;
  const network = byVni ?? Array.from(mirror.all('network').values()).find(({ doc }) => doc.description === vniOrDescription);
  if (network === undefined) throw new AppError('not-found', 'no network has this VNI or description', { network: vniOrDescription });
  return network;
}

async function createNetwork(context: Context, id: Pick<NetworkSpec, 'type' | 'vni'>, settings: NetworkSettings): Promise<NetworkSpec> {
  const spec = newNetwork(id, settings);
  checkDocument('network', spec);
  const target = { kind: 'network', id: String(spec.vni) } as const;
  if (context.mirror.get('network', target.id) !== undefined) throw networkExists(spec.vni);
  if (context.mirror.all('network').size >= NETWORKS_MAX) throw new AppError('state', 'there are as many networks as there can be', { max: NETWORKS_MAX });
  refuseConflict(context.mirror, spec);
  // Those of an earlier network with this VNI must not become this one's.
  await removeNetworkParts(context, target.id);
  try {
    await createResource(context, target, spec);
  } catch (error) {
    throw isAppError(error, 'exists') ? networkExists(spec.vni) : error;
  }
  await confirmCreated(context, spec);
  return spec;
}

function networkExists(vni: number): AppError {
  return new AppError('exists', 'a network with this VNI exists', { vni });
}

/** @throws AppError 'exists' that says what another network has already. */
function refuseConflict(mirror: ClusterMirror, spec: NetworkSpec, isBefore: (other: Versioned<NetworkSpec>) => boolean = () => true): void {
  for (const other of mirror.all('network').values()) {
    const conflict = isBefore(other) ? networkConflict(spec, other.doc) : undefined;
    if (conflict !== undefined) throw new AppError('exists', 'another network has this already', conflict);
  }
}

/**
 * Two processes may create networks that exclude each other at once. Whoever has written looks again once its mirror has all earlier
 * writes: the later one sees the earlier one, and takes its own network back.
 */
async function confirmCreated(context: Context, spec: NetworkSpec): Promise<void> {
  const id = String(spec.vni);
  const written = context.mirror.get('network', id) ?? (await readResource(context, 'network', id));
  if (written === undefined || !(await catchUp(context))) return;
  try {
    refuseConflict(context.mirror, spec, (other) => other.createdZxid < written.createdZxid);
  } catch (error) {
    const now = await readResource(context, 'network', id);
    if (now?.createdZxid === written.createdZxid) await removeResource(context, { kind: 'network', id }, now.version);
    throw error;
  }
}

async function modifyNetwork(context: Context, vni: number, settings: NetworkSettings): Promise<NetworkSpec> {
  const target = { kind: 'network', id: String(vni) } as const;
  let previous: NetworkSpec | undefined;
  const written = await updateResource(context, target, (old) => {
    const spec = changedNetwork(old, settings);
    if (isDeepStrictEqual(spec, old)) return old;
    refuseConflict(context.mirror, spec);
    refuseHomeless(context.mirror, spec);
    previous = old;
    return spec;
  });
  const before = previous;
  if (before === undefined || !(await catchUp(context))) return written.doc;
  try {
    refuseConflict(context.mirror, written.doc);
    refuseHomeless(context.mirror, written.doc);
  } catch (error) {
    await updateResource(context, target, (now) => (isDeepStrictEqual(now, written.doc) ? before : now));
    throw error;
  }
  return written.doc;
}

/** @throws AppError 'state' that names the reservations without a place in the network as it would be. */
function refuseHomeless(mirror: ClusterMirror, spec: NetworkSpec): void {
  const homeless = homelessReservations(spec, mirror.get('dhcp-reservation', String(spec.vni))?.doc.reservations ?? []);
  if (Object.keys(homeless).length > 0) throw new AppError('state', 'the network has reservations that would lose their place', homeless);
}

/** The network's own document goes first: what is left of the others then belongs to nothing, and goes with the sweep, or when the VNI is used again. */
async function removeNetwork(context: Context, vni: number): Promise<void> {
  const id = String(vni);
  await catchUp(context);
  const network = context.mirror.get('network', id) ?? (await readResource(context, 'network', id));
  if (network === undefined) throw new AppError('not-found', 'no network has this VNI', { vni });
  refuseWhileUsed(context.mirror, network.doc);
  await removeResource(context, { kind: 'network', id }, network.version);
  await confirmRemoved(context, network.doc);
  await removeNetworkParts(context, id);
  await gone(context, id);
}

/** @throws AppError 'state' that names the VMs. */
function refuseWhileUsed(mirror: ClusterMirror, { vni, description }: NetworkSpec): void {
  const vms = Array.from(mirror.all('vm').values(), ({ doc }) => doc).filter((vm) => vm.interfaces.some((one) => one.vni === vni));
  if (vms.length === 0) return;
  const names = vms.map((vm) => vm.name).sort();
  throw new AppError('state', 'VMs have interfaces in the network', { network: description, vms: shortened(names) });
}

const NAMES_SHOWN_MAX = 20;

function shortened(names: readonly string[]): string {
  const rest = names.length - NAMES_SHOWN_MAX;
  return `${names.slice(0, NAMES_SHOWN_MAX).join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`;
}

/** A VM may have been defined in the network meanwhile: it was there first, so the network comes back. */
async function confirmRemoved(context: Context, spec: NetworkSpec): Promise<void> {
  if (!(await catchUp(context))) return;
  try {
    refuseWhileUsed(context.mirror, spec);
  } catch (error) {
    await createResource(context, { kind: 'network', id: String(spec.vni) }, spec);
    throw error;
  }
}

/** Longest wait for this process' mirror; the removal stands. */
const GONE_WAIT_MS = 2_000;

async function gone({ mirror }: Context, id: string): Promise<void> {
  try {
    await mirror.waitFor('network', id, 'gone', { timeoutMs: GONE_WAIT_MS });
  } catch (error) {
    if (!isAppError(error, 'timeout', 'cancelled')) throw error;
  }
}
