import { AppError } from '../../common/errors.ts';

/** Each value's name with everything that was given for it, in order: texts of query and form, anything of a JSON body. */
export type RawValues = ReadonlyMap<string, readonly unknown[]>;

/** Names and values of one request, at most; no route knows a tenth of it. */
const VALUES_MAX = 1_000;

/**
 * Query and body as one set, as the manual has it: a value may stand in either, under any method.
 * @throws AppError 'invalid' beyond VALUES_MAX.
 */
export function mergeValues(query: string, body: Iterable<readonly [string, unknown]>): RawValues {
  const values = new Map<string, unknown[]>();
  let count = 0;
  for (const [name, value] of [...new URLSearchParams(query), ...body]) {
    count += 1;
    if (count > VALUES_MAX) throw new AppError('invalid', 'the request has too many values', { max: VALUES_MAX });
    const given = values.get(name);
    if (given === undefined) values.set(name, [value]);
    else given.push(value);
  }
  return values;
}
