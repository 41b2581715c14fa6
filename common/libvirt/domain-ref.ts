import { AppError } from '../errors.ts';
import type { XdrReader, XdrWriter } from './xdr.ts';

export const UUID_BYTES = 16;

/** How the protocol names a domain (remote_nonnull_domain). The QEMU driver looks at the UUID alone. */
export interface DomainRef {
  name: string;
  /** RFC 4122 text form, lower case. */
  uuid: string;
  /** Number of the running domain, -1 when it does not run. */
  id: number;
}

/** A domain of which only the UUID is known. */
export function refOf(uuid: string): DomainRef {
  return { name: '', uuid, id: -1 };
}

export function writeUuid(writer: XdrWriter, uuid: string): void {
  const bytes = Buffer.from(uuid.replaceAll('-', ''), 'hex');
  if (bytes.length !== UUID_BYTES) throw new AppError('bug', 'not a UUID', { uuid });
  writer.fixed(bytes);
}

export function writeDomainRef(writer: XdrWriter, ref: DomainRef): void {
  writer.string(ref.name);
  writeUuid(writer, ref.uuid);
  writer.int(ref.id);
}

export function readDomainRef(reader: XdrReader): DomainRef {
  return { name: reader.string(), uuid: uuidText(reader.fixed(UUID_BYTES)), id: reader.int() };
}

export function uuidText(bytes: Buffer): string {
  const hex = bytes.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
