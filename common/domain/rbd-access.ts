import { DOMParser, XMLSerializer, type Document, type Element } from '@xmldom/xmldom';
import type { VolumeRef } from '../schema/volume.ts';
import { volumesOf } from './volume-users.ts';

/** How guests' disks reach the cluster's Ceph. */
export interface RbdAccess {
  /** Without `client.`, as libvirt has it. */
  user: string;
  secretUuid: string;
  /** Where QEMU finds the monitors. */
  configFile: string;
}

/**
 * The definition, one that was accepted, with what its RBD disks leave out: who they are to Ceph, and where its monitors are. What a disk says
 * of either stays as it is.
 */
export function withRbdAccess(xml: string, access: RbdAccess): string {
  const document = new DOMParser().parseFromString(xml, 'text/xml');
  const root = document.documentElement;
  if (root === null) return xml;
  const disks = children(children(root, 'devices')[0], 'disk').filter((disk) => disk.getAttribute('type') === 'network');
  for (const disk of disks) {
    const source = children(disk, 'source')[0];
    if (source?.getAttribute('protocol') !== 'rbd') continue;
    // libvirt takes it in either place (formatdomain, "auth").
    if (children(disk, 'auth').length === 0 && children(source, 'auth').length === 0) disk.appendChild(authOf(document, access));
    if (children(source, 'host').length === 0 && children(source, 'config').length === 0) source.appendChild(element(document, 'config', { file: access.configFile }));
  }
  return new XMLSerializer().serializeToString(root);
}

/** The volumes that no other guest may have at the same time: those of disks that are neither read-only nor said to be shared. Namespaces of pools are left out. */
export function exclusiveVolumesOf(xml: string): VolumeRef[] {
  const document = new DOMParser().parseFromString(xml, 'text/xml');
  const devices = children(document.documentElement ?? undefined, 'devices')[0];
  for (const disk of children(devices, 'disk')) {
    if (children(disk, 'readonly').length + children(disk, 'shareable').length > 0) devices?.removeChild(disk);
  }
  return document.documentElement === null ? [] : volumesOf(new XMLSerializer().serializeToString(document.documentElement)).filter(({ volume }) => !volume.includes('/'));
}

function authOf(document: Document, { user, secretUuid }: RbdAccess): Element {
  const auth = element(document, 'auth', { username: user });
  auth.appendChild(element(document, 'secret', { type: 'ceph', uuid: secretUuid }));
  return auth;
}

function element(document: Document, name: string, attributes: Readonly<Record<string, string>>): Element {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function children(parent: Element | undefined, name: string): Element[] {
  if (parent === undefined) return [];
  return Array.from(parent.childNodes).filter((node): node is Element => node.nodeType === node.ELEMENT_NODE && node.nodeName === name);
}
