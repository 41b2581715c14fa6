import { DOMParser, XMLSerializer, type Document, type Element } from '@xmldom/xmldom';
import { AppError } from '../errors.ts';
import { vmId, vmName, type VmId, type VmName } from '../ids.ts';
import { XML_MAX_BYTES } from '../schema/vm.ts';
import { memoryMibOf } from './memory-unit.ts';
import { clusterInterfaces, tapName } from './network.ts';
import { readXmlTree, type XmlElement } from './xml-tree.ts';

/** Raw QEMU arguments: whoever writes them runs anything as QEMU's user on the host. */
const QEMU_NAMESPACE = 'http://libvirt.org/schemas/domain/qemu/1.0';

export interface DomainDisk {
  /** `file`, or the protocol of a network disk (`rbd`). */
  type: string;
  /** File path, or `pool/image`. */
  name: string;
  dev: string;
  bus: string;
}

export interface DomainInterface {
  type: string;
  mac: string;
  /** The bridge for an interface of type bridge. */
  source: string;
  model: string;
}

/** What the cluster and its clients need to know of a domain definition (libvirt.org/formatdomain.html). */
export interface DomainFacts {
  /** Undefined when the definition leaves it to be chosen. */
  uuid: VmId | undefined;
  name: VmName;
  description: string;
  memoryMib: number;
  vcpus: number;
  /** `sockets/cores/threads`, or `N/A`. */
  vcpuTopology: string;
  type: string;
  arch: string;
  machine: string;
  console: string;
  emulator: string;
  features: string[];
  disks: DomainDisk[];
  networks: DomainInterface[];
  controllers: { type: string; model: string }[];
}

/**
 * Reads a libvirt domain definition.
 * @throws AppError 'invalid' that says what is wrong and where; 'too-large' beyond XML_MAX_BYTES.
 */
export function parseDomainXml(xml: string): DomainFacts {
  parseXml(xml);
  return readDomainFacts(xml);
}

/**
 * The facts of a definition that was accepted before: as parseDomainXml, but without trying whether it can be rewritten, which takes
 * most of the time.
 * @throws AppError 'invalid'.
 */
export function readDomainFacts(xml: string): DomainFacts {
  const root = checkDomain(readXmlTree(xml));
  const name = vmName.safeParse(textOf(onlyChild(root, 'name')));
  if (!name.success) throw invalid('the domain has no valid name', name.error.issues[0]?.message);
  const os = child(root, 'os');
  const type = os && child(os, 'type');
  const devices = child(root, 'devices');
  return {
    uuid: uuidOf(root),
    name: name.data,
    description: textOf(child(root, 'description')) || 'N/A',
    memoryMib: memoryMibOf(child(root, 'memory')),
    vcpus: vcpusOf(root),
    vcpuTopology: topologyOf(root),
    type: textOf(type),
    arch: attribute(type, 'arch'),
    machine: attribute(type, 'machine'),
    console: attribute(devices && child(devices, 'console'), 'type'),
    emulator: textOf(devices && child(devices, 'emulator')),
    features: (child(root, 'features')?.elements ?? []).map((feature) => feature.tagName),
    disks: children(devices, 'disk').map(diskOf),
    networks: children(devices, 'interface').map(interfaceOf),
    controllers: children(devices, 'controller').map((controller) => ({
      type: attribute(controller, 'type'),
      model: attribute(controller, 'model') || 'none',
    })),
  };
}

/** What libvirt chose for a domain that runs. */
export interface LiveDevices {
  /** Of its interfaces, in their order, in lower case. */
  macs: string[];
  vnc: { listen: string; port: number } | null;
}

/**
 * Reads libvirt's own definition of a running domain.
 * @throws AppError 'invalid'.
 */
export function readLiveDevices(xml: string): LiveDevices {
  const devices = child(readXmlTree(xml), 'devices');
  const screen = children(devices, 'graphics').find((one) => attribute(one, 'type') === 'vnc');
  const port = Number(attribute(screen, 'port'));
  return {
    macs: children(devices, 'interface').map((one) => interfaceOf(one).mac.toLowerCase()),
    // Without a port: a Unix socket, or not chosen yet (-1).
    vnc: screen === undefined || !Number.isInteger(port) || port <= 0 ? null : { listen: attribute(screen, 'listen'), port },
  };
}

/** The definition with this UUID and name, otherwise unchanged. */
export function withIdentity(xml: string, identity: { uuid: VmId; name: VmName }): string {
  const document = parseXml(xml);
  const root = domainElement(document);
  setText(document, root, 'name', identity.name);
  setText(document, root, 'uuid', identity.uuid);
  return new XMLSerializer().serializeToString(root);
}

/** The definition with its first serial console also written to `file` by libvirt, unless it already says where. */
export function withConsoleLog(xml: string, file: string): string {
  const document = parseXml(xml);
  const root = domainElement(document);
  const devices = domChild(root, 'devices');
  const serial = domChildren(devices, 'serial')[0] ?? domChildren(devices, 'console')[0];
  if (serial === undefined || domChild(serial, 'log') !== undefined) return xml;
  const log = document.createElement('log');
  log.setAttribute('file', file);
  log.setAttribute('append', 'on');
  serial.appendChild(log);
  return new XMLSerializer().serializeToString(root);
}

/** MTU in bytes that a guest's card has without being told. */
const MTU_DEFAULT = 1_500;

/**
 * The definition with the devices of its interfaces in networks of the cluster named after their MAC addresses, and with the MTU of each
 * network (bytes, by VNI) where it is not the usual one and the definition does not say another.
 */
export function withClusterInterfaces(xml: string, mtus: ReadonlyMap<number, number>): string {
  const document = parseXml(xml);
  const root = domainElement(document);
  for (const element of domChildren(domChild(root, 'devices'), 'interface')) {
    const mac = domChild(element, 'mac')?.getAttribute('address') ?? '';
    const found = clusterInterfaces({ networks: [{ type: element.getAttribute('type') ?? '', mac, source: domChild(element, 'source')?.getAttribute('bridge') ?? '', model: '' }] })[0];
    if (found === undefined) continue;
    appended(document, element, 'target').setAttribute('dev', tapName(found.mac));
    const mtu = mtus.get(found.vni) ?? MTU_DEFAULT;
    if (mtu !== MTU_DEFAULT && domChild(element, 'mtu') === undefined) appended(document, element, 'mtu').setAttribute('size', String(mtu));
  }
  return new XMLSerializer().serializeToString(root);
}

function appended(document: Document, parent: Element, name: string): Element {
  const existing = domChild(parent, name);
  if (existing !== undefined) return existing;
  const element = document.createElement(name);
  parent.appendChild(element);
  return element;
}

/** The definition with these MAC addresses given to its interfaces, by their place; otherwise unchanged. */
export function withMacAddresses(xml: string, macs: ReadonlyMap<number, string>): string {
  if (macs.size === 0) return xml;
  const document = parseXml(xml);
  const root = domainElement(document);
  const interfaces = domChildren(domChild(root, 'devices'), 'interface');
  for (const [at, mac] of macs) {
    const element = interfaces[at];
    if (element !== undefined) appended(document, element, 'mac').setAttribute('address', mac);
  }
  return new XMLSerializer().serializeToString(root);
}

function parseXml(xml: string): Document {
  if (Buffer.byteLength(xml) > XML_MAX_BYTES) throw new AppError('too-large', 'the domain definition is too large', { maxBytes: XML_MAX_BYTES });
  checkDomain(readXmlTree(xml));
  const faults: string[] = [];
  const parser = new DOMParser({
    onError: (level, message) => {
      faults.push(`${level}: ${message}`);
    },
  });
  const document = parseOrThrow(parser, xml);
  const fault = faults[0];
  if (fault !== undefined) throw invalid('the domain definition is not well-formed XML', fault);
  return document;
}

function parseOrThrow(parser: DOMParser, xml: string): Document {
  try {
    return parser.parseFromString(xml, 'text/xml');
  } catch (error) {
    throw new AppError('invalid', 'the domain definition is not well-formed XML', { where: String(error) }, { cause: error });
  }
}

function checkDomain(root: XmlElement): XmlElement {
  if (root.tagName !== 'domain') throw invalid('the definition is not a libvirt domain', `root element is ${root.tagName}`);
  if (!['qemu', 'kvm'].includes(attribute(root, 'type'))) throw invalid('the domain type must be kvm or qemu');
  if (hasElementOf(root, QEMU_NAMESPACE)) throw invalid('raw QEMU arguments are not allowed in a domain definition');
  return root;
}

/** Bounded by the depth that a tree may have. */
function hasElementOf(element: XmlElement, uri: string): boolean {
  return element.uri === uri || element.elements.some((inner) => hasElementOf(inner, uri));
}

function domainElement(document: Document): Element {
  const root = document.documentElement;
  if (root === null) throw new AppError('bug', 'a domain that was checked has no root element');
  return root;
}

function uuidOf(root: XmlElement): VmId | undefined {
  const element = onlyChild(root, 'uuid');
  if (element === undefined) return undefined;
  const uuid = vmId.safeParse(textOf(element).toLowerCase());
  if (!uuid.success) throw invalid('the domain has no valid UUID', uuid.error.issues[0]?.message);
  return uuid.data;
}

/** Libvirt's limit of vCPUs for the machine types in use. */
const VCPUS_MAX = 4_096;

function vcpusOf(root: XmlElement): number {
  const text = textOf(child(root, 'vcpu')) || '1';
  const vcpus = Number(text);
  if (!Number.isInteger(vcpus) || vcpus < 1 || vcpus > VCPUS_MAX) throw invalid('the number of vCPUs is not valid', text);
  return vcpus;
}

function topologyOf(root: XmlElement): string {
  const cpu = child(root, 'cpu');
  const topology = cpu && child(cpu, 'topology');
  if (topology === undefined) return 'N/A';
  return ['sockets', 'cores', 'threads'].map((key) => attribute(topology, key)).join('/');
}

function diskOf(disk: XmlElement): DomainDisk {
  const source = child(disk, 'source');
  const target = child(disk, 'target');
  const isNetwork = attribute(disk, 'type') === 'network';
  return {
    type: isNetwork ? attribute(source, 'protocol') : attribute(disk, 'type'),
    name: isNetwork ? attribute(source, 'name') : attribute(source, 'file') || attribute(source, 'dev'),
    dev: attribute(target, 'dev'),
    bus: attribute(target, 'bus'),
  };
}

function interfaceOf(element: XmlElement): DomainInterface {
  const type = attribute(element, 'type');
  return {
    type,
    mac: attribute(child(element, 'mac'), 'address'),
    source: attribute(child(element, 'source'), type),
    model: attribute(child(element, 'model'), 'type'),
  };
}

function setText(document: Document, root: Element, name: string, text: string): void {
  const existing = domChild(root, name);
  if (existing !== undefined) {
    existing.textContent = text;
    return;
  }
  const element = document.createElement(name);
  element.textContent = text;
  root.insertBefore(element, root.firstChild);
}

function domChildren(parent: Element | undefined, name: string): Element[] {
  if (parent === undefined) return [];
  const elements = Array.from(parent.childNodes).filter((node): node is Element => node.nodeType === node.ELEMENT_NODE);
  return elements.filter((element) => element.tagName === name);
}

function domChild(parent: Element, name: string): Element | undefined {
  return domChildren(parent, name)[0];
}

function children(parent: XmlElement | undefined, name: string): XmlElement[] {
  return parent?.elements.filter((element) => element.tagName === name) ?? [];
}

function child(parent: XmlElement, name: string): XmlElement | undefined {
  return parent.elements.find((element) => element.tagName === name);
}

/** Two of them would be read as one by us and as another by somebody else. */
function onlyChild(parent: XmlElement, name: string): XmlElement | undefined {
  const found = children(parent, name);
  if (found.length > 1) throw invalid('the domain has more than one element where there must be one', name);
  return found[0];
}

function attribute(element: XmlElement | undefined, name: string): string {
  return element?.getAttribute(name) ?? '';
}

function textOf(element: XmlElement | undefined): string {
  return element?.textContent.trim() ?? '';
}

function invalid(message: string, where?: string): AppError {
  return new AppError('invalid', message, where === undefined ? {} : { where });
}
