import { z } from 'zod';

/** A logged-in browser. The id is a hash of the cookie's, and the token is named by its hash, so neither can be used from here. */
export const session = z.strictObject({
  tokenHash: z.string().regex(/^[0-9a-f]{64}$/u),
  expiresMs: z.int(),
});
export type Session = z.infer<typeof session>;
