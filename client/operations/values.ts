import { z } from 'zod';

const NAME_MAX_CHARS = 255;
const LOG_LINES_MAX = 5_000;

/** UTF-16 that is half a character has no form in a URL. */
const wellFormed = z.string().refine((text) => !/\p{Surrogate}/u.test(text), 'must be well-formed text');
export const name = wellFormed.min(1).max(NAME_MAX_CHARS);
export const text = wellFormed.min(1);
export const flag = z.boolean().optional();
export const limit = text.optional();
export const lines = z.int().min(1).max(LOG_LINES_MAX).optional();
export const names = z.array(name);
/** Null clears. */
export const clearable = text.nullable().optional();
export const nothing = z.strictObject({});

/** What a command answers: a sentence for people. */
export const message = z.object({ message: z.string() });
export const log = z.object({ name: z.string(), data: z.string() });
