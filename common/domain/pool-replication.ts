import { AppError } from '../errors.ts';
import { replication, type Replication } from '../schema/pool.ts';

/**
 * `copies=N,mincopies=M`, in either order. A majority of the copies has to be there when `mincopies` is not given, as Ceph chooses itself.
 * @throws AppError 'invalid'.
 */
export function parseReplication(text: string): Replication {
  const given = new Map<string, number>();
  for (const part of text.split(',')) {
    const [, key, digits] = /^\s*(copies|mincopies)\s*=\s*(\d{1,4})\s*$/u.exec(part) ?? [];
    if (key === undefined || given.has(key)) throw malformed();
    given.set(key, Number(digits));
  }
  const copies = given.get('copies');
  if (copies === undefined) throw malformed();
  const parsed = replication.safeParse({ copies, minCopies: given.get('mincopies') ?? copies - Math.floor(copies / 2) });
  if (!parsed.success) throw new AppError('invalid', parsed.error.issues[0]?.message ?? 'is not valid');
  return parsed.data;
}

function malformed(): AppError {
  return new AppError('invalid', 'must be like copies=3,mincopies=2');
}
