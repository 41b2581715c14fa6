/** A master boot record with one partition of 512 MiB, of Linux. */
export function partitionTable(): Buffer {
  const record = Buffer.alloc(512);
  record.writeUInt8(0x83, 446 + 4);
  record.writeUInt32LE(2_048, 446 + 8);
  record.writeUInt32LE(1_048_576, 446 + 12);
  record.writeUInt16LE(0xaa55, 510);
  return record;
}
