import { parseMac } from '../domain/addressing.ts';
import { readDomainFacts, withMacAddresses, type DomainFacts, type DomainInterface } from '../domain/domain-xml.ts';
import { clusterInterfaces, vniOfBridge } from '../domain/network.ts';
import { AppError, isAppError } from '../errors.ts';
import { newMacAddress, type VmId } from '../ids.ts';
import type { Versioned } from '../schema/resources.ts';
import type { VmInterface, VmSpec } from '../schema/vm.ts';
import { catchUp } from './confirm-place.ts';
import type { ClusterMirror, OperationContext } from './context.ts';

/** Bridges of these names are those of networks; any other is the host's own affair. */
const OUR_BRIDGES = 'vmbr';

/** A definition that is to become a VM's. */
export interface GivenDefinition {
  uuid: VmId;
  xml: string;
  facts: DomainFacts;
  /** The VM's definition until now. */
  previousXml?: string | undefined;
}

/**
 * The definition with a MAC address on each interface in a network of the cluster, so that it is the same at each start: the one that
 * is given, else the one that the interface had, else a new one.
 * @throws AppError 'invalid' for a network that does not exist or an address that cannot be, 'exists' for one that another VM has.
 */
export function withInterfaces(mirror: ClusterMirror, given: GivenDefinition): { xml: string; interfaces: VmInterface[] } {
  const networks = given.facts.networks.map((one, at) => (isOurs(one) ? checked(mirror, one, at) : one));
  const taken = macsOfOthers(mirror, given.uuid);
  const used = new Set(networks.filter(isOurs).map(({ mac }) => mac.toLowerCase()));
  const earlier = networks.some((one) => isOurs(one) && one.mac === '') ? factsOf(given.previousXml)?.networks : undefined;
  const added = new Map<number, string>();
  for (const [at, one] of networks.entries()) {
    if (!isOurs(one) || one.mac !== '') continue;
    const mac = [kept(one, earlier?.[at]), ...Array.from({ length: TRIES_MAX }, newMacAddress)].find((address) => address !== undefined && !taken.has(address) && !used.has(address));
    if (mac === undefined) throw new AppError('bug', 'no free MAC address was found');
    used.add(mac);
    added.set(at, mac);
  }
  const interfaces = clusterInterfaces({ networks: networks.map((one, at) => ({ ...one, mac: added.get(at) ?? one.mac })) });
  refuseTaken(interfaces, taken);
  return { xml: withMacAddresses(given.xml, added), interfaces };
}

/** Of 16 million addresses this many are not all taken. */
const TRIES_MAX = 20;

function isOurs({ type, source }: DomainInterface): boolean {
  return type === 'bridge' && source.startsWith(OUR_BRIDGES);
}

/** @throws AppError 'invalid'. */
function checked(mirror: ClusterMirror, one: DomainInterface, at: number): DomainInterface {
  const vni = vniOfBridge(one.source);
  const where = { interface: at + 1, bridge: one.source };
  if (vni === undefined) throw new AppError('invalid', 'the bridge of an interface is not that of a network: vmbr and the VNI are wanted', where);
  if (mirror.get('network', String(vni)) === undefined) throw new AppError('invalid', 'the network of an interface does not exist', { ...where, vni });
  // libvirt takes colons only.
  if (one.mac !== '' && parseMac(one.mac) !== one.mac.toLowerCase()) throw new AppError('invalid', 'the MAC address of an interface is not valid', { ...where, mac: one.mac });
  return one;
}

function kept(one: DomainInterface, earlier: DomainInterface | undefined): string | undefined {
  return earlier !== undefined && isOurs(earlier) && earlier.source === one.source ? parseMac(earlier.mac) : undefined;
}

function factsOf(xml: string | undefined): DomainFacts | undefined {
  try {
    return xml === undefined ? undefined : readDomainFacts(xml);
  } catch (error) {
    if (isAppError(error, 'invalid')) return undefined;
    throw error;
  }
}

/** MAC address and name of the VM that has it. */
function macsOfOthers(mirror: ClusterMirror, uuid: VmId, isBefore: (vm: Versioned<VmSpec>) => boolean = () => true): Map<string, string> {
  const macs = new Map<string, string>();
  for (const vm of mirror.all('vm').values()) {
    if (vm.doc.uuid === uuid || !isBefore(vm)) continue;
    for (const { mac } of vm.doc.interfaces) macs.set(mac, vm.doc.name);
  }
  return macs;
}

function refuseTaken(interfaces: readonly VmInterface[], taken: ReadonlyMap<string, string>): void {
  const seen = new Set<string>();
  for (const { mac } of interfaces) {
    const other = taken.get(mac);
    if (other !== undefined) throw new AppError('exists', 'another VM has an interface with this MAC address', { mac, vm: other });
    if (seen.has(mac)) throw new AppError('invalid', 'two interfaces have the same MAC address', { mac });
    seen.add(mac);
  }
}

/**
 * Two processes may give one MAC address to two VMs at once, or define a VM in a network that goes at that moment. Whoever has written
 * looks again once its mirror has all earlier writes: of two definitions the later one steps back.
 * @param written the VM's document as it was written; `isNew`: it was just created.
 * @throws AppError 'exists' or 'invalid'; `stepBack` has been carried out then.
 */
export async function confirmInterfaces(context: OperationContext, written: { spec: VmSpec; isNew: boolean }, stepBack: () => Promise<void>): Promise<void> {
  const { spec, isNew } = written;
  if (spec.interfaces.length === 0 || !(await catchUp(context))) return;
  const { mirror } = context;
  const createdZxid = mirror.get('vm', spec.uuid)?.createdZxid;
  const isBefore = (vm: Versioned<VmSpec>): boolean => !isNew || createdZxid === undefined || vm.createdZxid < createdZxid;
  try {
    refuseTaken(spec.interfaces, macsOfOthers(mirror, spec.uuid, isBefore));
    const gone = spec.interfaces.find(({ vni }) => mirror.get('network', String(vni)) === undefined);
    if (gone !== undefined) throw new AppError('invalid', 'the network of an interface does not exist', { vni: gone.vni });
  } catch (error) {
    await stepBack();
    throw error;
  }
}
