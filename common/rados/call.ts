import { z } from 'zod';

/**
 * Calls of one lane wait for each other when its threads are all taken; those of different lanes never do.
 * `mon`: monitors, pools and statistics; `command`: mgr and OSDs, which may hang while the monitors answer; `object`; `image`;
 * `list`: looks at many images at once; `stream`: contents of images.
 */
export const LANES = ['mon', 'command', 'object', 'image', 'list', 'stream'] as const;
export type Lane = (typeof LANES)[number];

/** What a call does to a handle inside the child: makes one, works on it, or gives it up. */
export type HandleRole = 'open' | 'use' | 'close';

/**
 * One kind of call to the child process. Arguments are parsed in the child, results in this process.
 * With `effect` 'write' a lost answer is an 'unknown-outcome', else 'unavailable' or 'timeout'.
 */
export interface Call<Args, Result> {
  readonly name: string;
  readonly lane: Lane;
  readonly effect: 'read' | 'write';
  readonly args: z.ZodType<Args>;
  readonly result: z.ZodType<Result>;
  /** Calls with the same text run one after the other. */
  readonly key?: (args: Args) => string;
  /** Takes as long as the data is large: the limit is not that of a single operation. */
  readonly isLong?: true;
  readonly handle?: HandleRole;
}

export interface CallOptions {
  /** Instead of the connection's limit, in milliseconds. */
  timeoutMs?: number | undefined;
  signal?: AbortSignal | undefined;
}

/** Where calls go: the supervised child process. */
export interface Caller {
  /**
   * @param handle of an earlier call that opened one, for calls that use or close it.
   * @throws AppError as docs/rados.md says.
   */
  call<Args, Result>(call: Call<Args, Result>, args: Args, options?: CallOptions & { handle?: number }): Promise<Result>;
  /** Gives up a handle; never fails, since a handle ends with its child process at the latest. */
  release(call: Call<object, undefined>, handle: number): Promise<void>;
}

/** The library takes C strings. */
export const cText = z.string().refine((text) => !text.includes('\0'), 'must not contain NUL');
export const cName = cText.min(1);
export const bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array, 'must be bytes');
export const nothing = z.undefined();
/** Sizes and offsets in bytes. */
export const size = z.int().nonnegative();
