import type { z } from 'zod';
import { ClientError } from './client-error.ts';

/** What the schema makes of arguments. @throws ClientError 'arguments' with a line for each that is wrong. */
export function parseArguments<S extends z.ZodType>(schema: S, given: unknown): z.output<S> {
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  throw new ClientError('arguments', 'the arguments are not valid', { details: faultLines(result.error) });
}

/** A line for each fault, with the place where it is. */
export function faultLines(error: z.ZodError): string[] {
  return error.issues.map((issue) => (issue.path.length === 0 ? issue.message : `${issue.path.join('.')}: ${issue.message}`));
}
