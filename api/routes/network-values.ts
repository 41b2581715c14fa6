import { z } from 'zod';
import { findNetwork } from '../../common/operations/network.ts';
import type { NetworkSpec } from '../../common/schema/network.ts';
import type { Versioned } from '../../common/schema/resources.ts';
import type { ApiMirror } from '../cluster.ts';
import { freeText, text } from '../params/values.ts';

/** Longest name that is looked up; every real one is shorter. */
export const NAME_MAX_CHARS = 255;

/** Digits as a number; the operation knows which numbers there can be. */
export const digits: z.ZodType<number, string> = z.string().regex(/^\d{1,8}$/u, 'must be a whole number').transform(Number);

/** The value that every route of one network has in its path. */
export const network = text(freeText(NAME_MAX_CHARS), 'VNI or description of the network, exactly.');

/** The network that the path names. @throws AppError 'not-found'. */
export function networkOf(deps: { mirror: ApiMirror }, vniOrDescription: string): Versioned<NetworkSpec> {
  return findNetwork(deps.mirror, vniOrDescription);
}

/** For people: description and VNI. */
export function nameOf({ description, vni }: NetworkSpec): string {
  return `${description} (${vni})`;
}
