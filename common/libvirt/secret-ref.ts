import { uuidText, UUID_BYTES, writeUuid } from './domain-ref.ts';
import type { XdrReader, XdrWriter } from './xdr.ts';

/** How the protocol names a secret (remote_nonnull_secret). The secret driver looks at the UUID alone. */
export interface SecretRef {
  /** RFC 4122 text form, lower case. */
  uuid: string;
  /** virSecretUsageType; 2 is Ceph. */
  usageType: number;
  usageId: string;
}

export function writeSecretRef(writer: XdrWriter, ref: SecretRef): void {
  writeUuid(writer, ref.uuid);
  writer.int(ref.usageType).string(ref.usageId);
}

export function readSecretRef(reader: XdrReader): SecretRef {
  return { uuid: uuidText(reader.fixed(UUID_BYTES)), usageType: reader.int(), usageId: reader.string() };
}
