import { parseAddress, parseMac } from '../domain/addressing.ts';
import { reservedAddressFault } from '../domain/network-settings.ts';
import { AppError, isAppError } from '../errors.ts';
import { hostLabel, RESERVATIONS_MAX, type DhcpReservation, type DhcpReservations, type ManagedNetwork } from '../schema/network.ts';
import { catchUp } from './confirm-place.ts';
import type { ClusterMirror, OperationContext } from './context.ts';
import { createResource, updateResource } from './update-resource.ts';

/** What a person says of a fixed address, in texts. */
export interface ReservationRequest {
  mac: string;
  /** One address of each family at most, and one at least. */
  addresses: readonly string[];
  hostname?: string | undefined;
}

/** Every way to change a network's fixed addresses. */
export interface DhcpReservationOperations {
  add(vni: number, request: ReservationRequest): Promise<DhcpReservation>;
  /** @param name MAC address, IP address or host name. @returns what was removed. */
  remove(vni: number, name: string): Promise<DhcpReservation>;
}

type Context = Pick<OperationContext, 'store' | 'mirror'>;

export function dhcpReservationOperations(context: Context): DhcpReservationOperations {
  return { add: (vni, request) => addReservation(context, vni, request), remove: (vni, name) => removeReservation(context, vni, name) };
}

export function reservationsOf(mirror: ClusterMirror, vni: number): readonly DhcpReservation[] {
  return mirror.get('dhcp-reservation', String(vni))?.doc.reservations ?? [];
}

/** The reservation with this MAC address, IP address or host name. */
export function reservationNamed(reservations: readonly DhcpReservation[], name: string): DhcpReservation | undefined {
  const [mac, address] = [parseMac(name), parseAddress(name)?.text];
  if (mac !== undefined) return reservations.find((one) => one.mac === mac);
  if (address !== undefined) return reservations.find((one) => one.ip4 === address || one.ip6 === address);
  return reservations.find((one) => one.hostname !== null && one.hostname === name.toLowerCase());
}

async function addReservation(context: Context, vni: number, request: ReservationRequest): Promise<DhcpReservation> {
  const added = reservationOf(managedNetwork(context.mirror, vni), request);
  const target = { kind: 'dhcp-reservation', id: String(vni) } as const;
  const next = (old: DhcpReservations): DhcpReservations => {
    refuseTaken(old.reservations, added);
    if (old.reservations.length >= RESERVATIONS_MAX) throw new AppError('state', 'the network has as many reservations as it can have', { max: RESERVATIONS_MAX });
    return { ...old, reservations: [...old.reservations, added] };
  };
  await updateOrCreate(context, { vni, target }, next);
  await confirmPlaced(context, vni, added);
  return added;
}

async function updateOrCreate(
  context: Context,
  { vni, target }: { vni: number; target: { kind: 'dhcp-reservation'; id: string } },
  next: (old: DhcpReservations) => DhcpReservations,
): Promise<void> {
  try {
    await updateResource(context, target, next);
    return;
  } catch (error) {
    if (!isAppError(error, 'not-found')) throw error;
  }
  try {
    await createResource(context, target, next({ vni, reservations: [] }));
  } catch (error) {
    if (!isAppError(error, 'exists')) throw error;
    await updateResource(context, target, next);
  }
}

/** The network's addresses may have been changed at the same time. */
async function confirmPlaced(context: Context, vni: number, added: DhcpReservation): Promise<void> {
  if (!(await catchUp(context))) return;
  try {
    placeIn(managedNetwork(context.mirror, vni), added);
  } catch (error) {
    if (!isAppError(error, 'not-found')) await removeReservation(context, vni, added.mac);
    throw error;
  }
}

/** @throws AppError 'invalid' that names each value that is wrong. */
function reservationOf(network: ManagedNetwork, { mac: macText, addresses, hostname: name }: ReservationRequest): DhcpReservation {
  const faults: Record<string, string> = {};
  const mac = parseMac(macText);
  if (mac === undefined) faults['macaddress'] = "must be an interface's MAC address such as 52:54:00:aa:bb:01";
  const parsed = addresses.map((text) => parseAddress(text));
  const [ip4, ip6] = ([4, 6] as const).map((family) => parsed.filter((one) => one?.family === family).map((one) => one?.text ?? ''));
  if (parsed.length === 0) faults['ipaddress'] = 'is required';
  else if (parsed.includes(undefined)) faults['ipaddress'] = 'is not an IP address';
  else if ((ip4?.length ?? 0) > 1 || (ip6?.length ?? 0) > 1) faults['ipaddress'] = 'must be one address of each family at most';
  const hostname = hostLabel.safeParse(name?.toLowerCase());
  if (name !== undefined && !hostname.success) faults['hostname'] = hostname.error.issues[0]?.message ?? 'is not valid';
  if (Object.keys(faults).length > 0) throw new AppError('invalid', 'the reservation is not valid', faults);
  const reservation = { mac: mac ?? '', ip4: ip4?.[0] ?? null, ip6: ip6?.[0] ?? null, hostname: hostname.data ?? null };
  placeIn(network, reservation);
  return reservation;
}

/** @throws AppError 'invalid' when the network has no place for one of the addresses. */
function placeIn(network: ManagedNetwork, { ip4, ip6 }: DhcpReservation): void {
  for (const address of [ip4, ip6]) {
    const fault = address === null ? undefined : reservedAddressFault(network, address);
    if (fault !== undefined) throw new AppError('invalid', 'the reservation is not valid', { ipaddress: `${address} ${fault}` });
  }
}

/** @throws AppError 'exists'. */
function refuseTaken(reservations: readonly DhcpReservation[], added: DhcpReservation): void {
  for (const one of reservations) {
    const field = (['mac', 'ip4', 'ip6', 'hostname'] as const).find((key) => added[key] !== null && added[key] === one[key]);
    if (field !== undefined) throw new AppError('exists', 'another reservation has this already', { [field]: one[field], mac: one.mac });
  }
}

async function removeReservation(context: Context, vni: number, name: string): Promise<DhcpReservation> {
  let removed: DhcpReservation | undefined;
  const target = { kind: 'dhcp-reservation', id: String(vni) } as const;
  const noSuch = new AppError('not-found', 'the network has no reservation of this MAC address, IP address or host name', { vni, lease: name });
  try {
    await updateResource(context, target, (old) => {
      const found = reservationNamed(old.reservations, name);
      if (found === undefined) throw noSuch;
      removed = found;
      return { ...old, reservations: old.reservations.filter((one) => one !== found) };
    });
  } catch (error) {
    throw isAppError(error, 'not-found') ? noSuch : error;
  }
  if (removed === undefined) throw noSuch;
  return removed;
}

/** @throws AppError 'not-found', 'state' for a bridged network. */
function managedNetwork(mirror: ClusterMirror, vni: number): ManagedNetwork {
  const network = mirror.get('network', String(vni))?.doc;
  if (network === undefined) throw new AppError('not-found', 'no network has this VNI', { vni });
  if (network.type !== 'managed') throw new AppError('state', 'only a managed network can have this', { network: network.description });
  return network;
}
