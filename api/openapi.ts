import { z } from 'zod';
import { PVC_VERSION } from '../common/version.ts';
import { valueDoc, type ValueDoc } from './params/values.ts';
import { API_PREFIX, route, type Route } from './route.ts';

/** One value of a route as the document shows it. */
export interface ShownValue {
  name: string;
  inPath: boolean;
  aliases: string[];
  doc: ValueDoc;
}

/** The values of a route, from the schema that parses them. */
export function valuesOf(one: Route): ShownValue[] {
  return Object.entries(one.shape).flatMap(([name, schema]) => {
    const doc = valueDoc.safeParse(schema.meta());
    if (!doc.success) return [];
    const aliases = Object.entries(one.valueAliases).filter(([, meant]) => meant === name);
    return [{ name, inPath: one.pathValues.includes(name), aliases: aliases.map(([alias]) => alias), doc: doc.data }];
  });
}

/** The OpenAPI document (spec.openapis.org, 3.1) of these routes. */
function openApiOf(routes: readonly Route[]): Record<string, unknown> {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const one of routes) {
    const path = `${API_PREFIX}${one.path.replaceAll(/:(\w+)/gu, '{$1}')}`;
    paths[path] = { ...paths[path], [one.method.toLowerCase()]: operationOf(one) };
  }
  return {
    openapi: '3.1.0',
    info: { title: 'PVC HTTP API', version: PVC_VERSION, description: 'Values stand in the query, in a form or in a JSON body, whatever the method.' },
    paths,
    components: {
      securitySchemes: {
        token: { type: 'apiKey', in: 'header', name: 'X-Api-Key' },
        session: { type: 'apiKey', in: 'cookie', name: 'pvc.sid' },
      },
      schemas: { Message: schemaOf(z.object({ message: z.string() })) },
    },
    security: [{ token: [] }, { session: [] }],
  };
}

function operationOf(one: Route): Record<string, unknown> {
  const values = valuesOf(one);
  const inBody = values.filter((value) => !value.inPath);
  const hasBody = one.method !== 'GET' && inBody.length > 0 && one.body === 'values';
  return {
    operationId: `${one.method.toLowerCase()}${one.path.replaceAll(/[/:-]+(\w?)/gu, (_all, letter: string) => letter.toUpperCase())}`,
    tags: [one.path.split('/')[1] || 'general'],
    summary: one.summary,
    description: [one.description, aliasesOf(one, values)].filter((text) => text !== '').join(' '),
    ...(one.access === 'open' ? { security: [] } : {}),
    parameters: values.filter((value) => value.inPath || !hasBody).map(parameterOf),
    ...(hasBody ? { requestBody: bodyOf(inBody) } : {}),
    ...(one.body === 'image' ? { requestBody: IMAGE_BODY } : {}),
    responses: responsesOf(one),
  };
}

function aliasesOf(one: Route, values: readonly ShownValue[]): string {
  const names = values.flatMap((value) => value.aliases.map((alias) => `${alias} for ${value.name}`));
  const paths = one.paths.slice(1).map((path) => `${API_PREFIX}${path}`);
  return [...(names.length === 0 ? [] : [`Also: ${names.join(', ')}.`]), ...(paths.length === 0 ? [] : [`Also at ${paths.join(', ')}.`])].join(' ');
}

function parameterOf({ name, inPath, doc }: ShownValue): Record<string, unknown> {
  return { name, in: inPath ? 'path' : 'query', required: doc.required, description: doc.description, schema: doc.json, allowEmptyValue: doc.kind === 'flag' || undefined };
}

function bodyOf(values: readonly ShownValue[]): Record<string, unknown> {
  const schema = {
    type: 'object',
    properties: Object.fromEntries(values.map((value) => [value.name, { ...value.doc.json, description: value.doc.description }])),
    required: values.filter((value) => value.doc.required).map((value) => value.name),
  };
  const required = schema.required.length > 0;
  return { required, content: { 'application/x-www-form-urlencoded': { schema }, 'application/json': { schema } } };
}

/** Bytes have no schema (OpenAPI 3.1, 4.8.14.3). */
const IMAGE_BODY = {
  required: true,
  content: { 'application/octet-stream': {}, 'multipart/form-data': { schema: { type: 'object', properties: { file: {} }, required: ['file'] } } },
};

const FAILURES: Record<string, string> = {
  '401': 'Authentication required.',
  '404': 'There is no such path, or (GET) no such element.',
  '413': 'The request is too large.',
  '429': 'Too many failed logins, streams or images.',
  '510': 'Refused or failed; the message says why. Nothing was changed if the request itself was at fault.',
};

function responsesOf(one: Route): Record<string, unknown> {
  const success = { description: one.reply.description || 'Done.', content: { [one.reply.type]: { schema: schemaOf(one.reply.schema) } } };
  const failure = (description: string): object => ({ description, content: { 'application/json': { schema: { $ref: '#/components/schemas/Message' } } } });
  return { [one.reply.code]: success, ...Object.fromEntries(Object.entries(FAILURES).map(([code, text]) => [code, failure(text)])) };
}

function schemaOf(schema: z.ZodType): Record<string, unknown> {
  const json = z.toJSONSchema(schema, { io: 'output', unrepresentable: 'any' });
  return Object.fromEntries(Object.entries(json).filter(([key]) => key !== '$schema' && !key.startsWith('~')));
}

/** The routes that describe all the others, and themselves. */
export function describingRoutes(others: readonly Route[], page: (routes: readonly Route[]) => string): Route[] {
  const own: Route[] = [];
  const all = (): readonly Route[] => [...others, ...own];
  own.push(
    route({
      method: 'GET',
      path: '/openapi.json',
      access: 'open',
      summary: 'Show this API as an OpenAPI document',
      values: z.object({}),
      reply: { code: 200, schema: z.record(z.string(), z.unknown()) },
      handle: () => ({ kind: 'json', code: 200, body: openApiOf(all()) }),
    }),
    route({
      method: 'GET',
      path: '/docs',
      access: 'open',
      summary: 'Show this API as a page to browse',
      values: z.object({}),
      reply: { code: 200, type: 'text/html', schema: z.string() },
      handle: () => ({ kind: 'text', code: 200, type: 'text/html', body: page(all()) }),
    }),
  );
  return own;
}
