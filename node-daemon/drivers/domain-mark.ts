import { DOMParser, XMLSerializer, type Document, type Element } from '@xmldom/xmldom';
import { AppError } from '../../common/errors.ts';
import type { VmId } from '../../common/ids.ts';

/** Namespace of our element in a domain's <metadata>; libvirt wants one per application (formatdomain, "metadata"). */
export const MARK_URI = 'urn:pvc:domain:1';

const MARK_NAME = 'pvc:vm';

export interface MarkedDomain {
  xml: string;
  name: string;
}

/**
 * The definition with our mark in its metadata, and the name in it. A definition without a UUID gets `uuid`.
 * @throws AppError 'invalid' when `xml` is no domain definition, has a document type, no name, or another UUID.
 */
export function markDomain(uuid: VmId, xml: string): MarkedDomain {
  const document = parse(xml);
  const root = document.documentElement;
  if (root === null || root.tagName !== 'domain') throw new AppError('invalid', 'the definition is not a domain');
  if (document.doctype !== null) throw new AppError('invalid', 'the definition has a document type');
  const name = child(root, 'name')?.textContent?.trim() ?? '';
  if (name === '') throw new AppError('invalid', 'the definition has no name');
  setUuid(root, uuid);
  setMark(root);
  return { xml: new XMLSerializer().serializeToString(root), name };
}

function parse(xml: string): Document {
  try {
    const onError = (_level: string, message: string): never => {
      throw new AppError('invalid', 'the definition is not well-formed', { reason: message });
    };
    return new DOMParser({ onError }).parseFromString(xml, 'text/xml');
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw new AppError('invalid', 'the definition is not well-formed', { reason: String(error) }, { cause: error });
  }
}

function setUuid(root: Element, uuid: VmId): void {
  const given = child(root, 'uuid');
  if (given === undefined) {
    append(root, 'uuid').textContent = uuid;
    return;
  }
  const text = given.textContent?.trim().toLowerCase();
  if (text !== uuid) throw new AppError('invalid', 'the definition has another UUID', { uuid, inDefinition: text });
}

function setMark(root: Element): void {
  const metadata = child(root, 'metadata') ?? append(root, 'metadata');
  for (const old of Array.from(metadata.getElementsByTagNameNS(MARK_URI, '*'))) old.parentNode?.removeChild(old);
  metadata.appendChild(documentOf(root).createElementNS(MARK_URI, MARK_NAME));
}

function append(parent: Element, tagName: string): Element {
  const element = documentOf(parent).createElement(tagName);
  parent.appendChild(element);
  return element;
}

function documentOf(element: Element): Document {
  if (element.ownerDocument === null) throw new AppError('bug', 'an element belongs to no document');
  return element.ownerDocument;
}

function child(parent: Element, tagName: string): Element | undefined {
  return Array.from(parent.getElementsByTagName(tagName)).find((element) => element.parentNode === parent);
}
