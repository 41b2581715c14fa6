import type { Request, Response } from 'express';
import { z } from 'zod';
import { AppError } from '../common/errors.ts';
import type { RawValues } from './params/raw-values.ts';

export const METHODS = ['GET', 'POST', 'PUT', 'DELETE'] as const;
export type Method = (typeof METHODS)[number];

/** Everything is below this. */
export const API_PREFIX = '/api/v1';

export type Reply =
  | { kind: 'json'; code: number; body: unknown }
  | { kind: 'text'; code: number; type: string; body: string }
  /** JSON that is already text, in pieces; sent as the reader takes it. */
  | { kind: 'parts'; parts: readonly Buffer[] }
  /** The handler has taken the response over. */
  | { kind: 'taken' };

/** Who asks: the description of the token, or 'anonymous'. */
export interface Caller {
  readonly who: string;
  readonly how: 'open' | 'session' | 'token';
}

/** What a handler gets beside its values. */
export interface Call {
  readonly caller: Caller;
  readonly request: Request;
  readonly response: Response;
  /** Aborts when the client has gone away. */
  gone(): AbortSignal;
}

type Shape = z.ZodObject<Readonly<Record<string, z.ZodType>>>;

export interface RouteDefinition<S extends Shape> {
  method: Method;
  /** Below the prefix; `:name` is a value that only the path gives. */
  path: string;
  /** Other paths that mean the same. */
  pathAliases?: readonly string[];
  summary: string;
  description?: string;
  /** `open`: needs no authentication. */
  access?: 'open' | 'token';
  /** `image`: the handler reads the body, and values stand in path and query only. */
  body?: 'image';
  values: S;
  /** Other names of values, each with the name it stands for. */
  valueAliases?: Readonly<Record<string, string>>;
  reply: { code: number; type?: string; schema: z.ZodType; description?: string };
  handle(values: z.output<S>, call: Call): Promise<Reply> | Reply;
}

/** One entry of the API's table. */
export interface Route {
  readonly method: Method;
  readonly path: string;
  readonly paths: readonly string[];
  readonly summary: string;
  readonly description: string;
  readonly access: 'open' | 'token';
  readonly body: 'values' | 'image';
  readonly shape: Readonly<Record<string, z.ZodType>>;
  readonly pathValues: readonly string[];
  readonly valueAliases: Readonly<Record<string, string>>;
  readonly reply: { code: number; type: string; schema: z.ZodType; description: string };
  /** @throws AppError 'invalid' that names each value that is wrong, and whatever the operation throws. */
  run(path: Readonly<Record<string, string>>, raw: RawValues, call: Call): Promise<Reply>;
}

export function route<S extends Shape>(definition: RouteDefinition<S>): Route {
  const { values, reply } = definition;
  const aliases = definition.valueAliases ?? {};
  const pathValues = [...definition.path.matchAll(/:(\w+)/gu)].map((match) => match[1] ?? '');
  return {
    method: definition.method,
    path: definition.path,
    paths: [definition.path, ...(definition.pathAliases ?? [])],
    summary: definition.summary,
    description: definition.description ?? '',
    access: definition.access ?? 'token',
    body: definition.body ?? 'values',
    shape: values.shape,
    pathValues,
    valueAliases: aliases,
    reply: { code: reply.code, type: reply.type ?? 'application/json', schema: reply.schema, description: reply.description ?? '' },
    run: async (path, raw, call) => definition.handle(parseValues(values, gather(Object.keys(values.shape), aliases, path, raw)), call),
  };
}

/** Each known value with all that was given for it under its name and its aliases; a path's value comes from the path alone. */
function gather(
  names: readonly string[],
  aliases: Readonly<Record<string, string>>,
  path: Readonly<Record<string, string>>,
  raw: RawValues,
): Record<string, readonly unknown[]> {
  const given = (name: string): readonly unknown[] => {
    const inPath = Object.hasOwn(path, name) ? path[name] : undefined;
    if (inPath !== undefined) return [inPath];
    const others = Object.entries(aliases).filter(([, meant]) => meant === name);
    return [name, ...others.map(([alias]) => alias)].flatMap((one) => raw.get(one) ?? []);
  };
  return Object.fromEntries(names.map((name) => [name, given(name)]));
}

function parseValues<S extends Shape>(schema: S, given: Record<string, readonly unknown[]>): z.output<S> {
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  const faults = result.error.issues.map((issue) => [issue.path.join('.'), issue.message] as const);
  throw new AppError('invalid', 'the request is not valid', Object.fromEntries(faults));
}

/** A body with nothing but a message for people. */
export const messageReply = z.object({ message: z.string() });

/** A reply that something was done. */
export function done(message: string): Reply {
  return { kind: 'json', code: 200, body: { message } };
}

export function ok(body: unknown): Reply {
  return { kind: 'json', code: 200, body };
}
