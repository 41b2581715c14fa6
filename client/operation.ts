import type { z } from 'zod';

/** What an operation is given: by name, in the API's own words. */
export type Values = Readonly<Record<string, unknown>>;

/** One operation of the API as this library uses it; a test compares all of them with the API's own description. */
export interface Operation<V extends z.ZodType<Values>, R extends z.ZodType> {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Below the endpoint; `:name` is a value. */
  readonly path: string;
  readonly values: V;
  readonly reply: R;
  /** `open`: asks for no login. */
  readonly access?: 'open';
  /** The API answers when the work is done, which may take minutes. */
  readonly slow?: true;
  /** Its body is an image, so that values stand in the query. */
  readonly body?: 'image';
}

/** The values of an operation without those that a method takes by itself. */
export type Given<O extends { values: z.ZodType }, Taken extends string = never> = Omit<z.input<O['values']>, Taken>;

export function operation<V extends z.ZodType<Values>, R extends z.ZodType>(given: Operation<V, R>): Operation<V, R> {
  return given;
}

export interface EncodedRequest {
  path: string;
  body: string | undefined;
}

/** Path, query and body of a request. Values of a GET, or beside an image, stand in the query, those of others in a JSON body. */
export function encodeRequest(one: Pick<Operation<z.ZodType<Values>, z.ZodType>, 'method' | 'path' | 'body'>, values: Values): EncodedRequest {
  const inPath = new Set([...one.path.matchAll(/:(\w+)/gu)].map((match) => match[1] ?? ''));
  const path = one.path.replaceAll(/:(\w+)/gu, (_all, name: string) => encodeURIComponent(String(values[name])));
  const others = Object.entries(values).filter(([name, value]) => !inPath.has(name) && value !== undefined);
  if (one.method !== 'GET' && one.body === undefined) return { path, body: others.length === 0 ? undefined : JSON.stringify(Object.fromEntries(others)) };
  const query = new URLSearchParams(others.flatMap(pairsOf));
  return { path: others.length === 0 ? path : `${path}?${query.toString()}`, body: undefined };
}

/** A list is given by repeating its name. */
function pairsOf([name, value]: readonly [string, unknown]): [string, string][] {
  const values: unknown[] = Array.isArray(value) ? value : [value];
  return values.map((one) => [name, String(one)]);
}
