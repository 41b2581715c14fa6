import type { z } from 'zod';

/** What is mirrored: for each kind the folder of its documents, their schema, and the field of text by whose value they can be found. */
export type ResourceTable = Readonly<Record<string, { readonly root: string; readonly schema: z.ZodType; readonly foundBy?: string }>>;

export type KindOf<T extends ResourceTable> = keyof T & string;
export type DocOf<T extends ResourceTable, K extends KindOf<T>> = z.infer<T[K]['schema']>;

/** One mirrored document, with the version that the next write is conditional on. */
export interface MirrorEntry<D> {
  readonly id: string;
  readonly doc: D;
  readonly version: number;
  readonly createdZxid: number;
  readonly modifiedZxid: number;
}
