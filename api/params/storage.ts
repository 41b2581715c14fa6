import { z } from 'zod';
import { parseReplication } from '../../common/domain/pool-replication.ts';
import { parseStorageSize } from '../../common/domain/storage-size.ts';
import type { VolumeSize } from '../../common/domain/volume-creation.ts';
import { isAppError } from '../../common/errors.ts';
import type { Replication } from '../../common/schema/pool.ts';
import { freeText } from './values.ts';

/** Longest size or replication that is looked at; every real one is shorter. */
const TEXT_MAX_CHARS = 64;

/** What a rule of the domain makes of a text; its refusal becomes an issue. */
function readBy<T>(read: (text: string) => T): z.ZodType<T, string> {
  return freeText(TEXT_MAX_CHARS).transform((text, context): T => {
    try {
      return read(text);
    } catch (error) {
      if (!isAppError(error, 'invalid')) throw error;
      context.addIssue({ code: 'custom', message: error.message });
      return z.NEVER;
    }
  });
}

/** A size in bytes. */
export const storageSize: z.ZodType<number, string> = readBy(parseStorageSize);

/** A size in bytes, of every missing volume or, behind a disk's name and a colon, of that disk's. */
export const missingVolumeSize: z.ZodType<VolumeSize, string> = readBy((text) => {
  const [, dev, size] = /^(?:([A-Za-z][A-Za-z0-9]{0,15}):)?(.*)$/u.exec(text) ?? [];
  return { dev: dev ?? null, sizeBytes: parseStorageSize(size ?? '') };
});

/** `copies=N,mincopies=M`. */
export const poolReplication: z.ZodType<Replication, string> = readBy(parseReplication);

/** An OSD's id. */
export const osdId: z.ZodType<number, string> = z.string().regex(/^\d{1,9}$/u, 'must be the number of an OSD').transform(Number);
