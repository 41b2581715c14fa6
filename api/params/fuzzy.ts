import { RE2JS } from 're2js';
import { z } from 'zod';
import { freeText } from './values.ts';

/** Longer patterns are no fuzzy names; the automaton grows with the pattern. */
const PATTERN_MAX_CHARS = 128;

/** Tells whether a name matches. */
export type NameMatcher = (name: string) => boolean;

/**
 * A fuzzy regular expression: found anywhere in the name unless it begins with ^ or ends with $. Runs in linear time (RE2), so no
 * pattern can hold up the server.
 */
export const fuzzyLimit: z.ZodType<NameMatcher, string> = freeText(PATTERN_MAX_CHARS).transform((pattern, context): NameMatcher => {
  try {
    const compiled = RE2JS.compile(pattern);
    return (name) => compiled.matcher(name).find();
  } catch (error) {
    context.addIssue({ code: 'custom', message: `is not a regular expression of RE2: ${error instanceof Error ? error.message : String(error)}` });
    return z.NEVER;
  }
});
