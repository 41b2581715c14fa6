import type { z } from 'zod';
import type { Entry } from '../store/store.ts';
import type { MirrorEntry } from './resource-table.ts';

/** What a document just read did to the collection. */
export type Effect = 'changed' | 'unchanged' | 'invalid';

/** The mirrored documents of one kind. */
export class Collection {
  readonly kind: string;
  readonly root: string;
  readonly documents = new Map<string, MirrorEntry<unknown>>();
  /** Documents that do not satisfy the schema: id to the last change that was reported. */
  readonly invalid = new Map<string, number>();
  readonly #schema: z.ZodType;

  constructor(kind: string, root: string, schema: z.ZodType) {
    this.kind = kind;
    this.root = root;
    this.#schema = schema;
  }

  pathOf(id: string): string {
    return `${this.root}/${id}`;
  }

  /**
   * Takes what a read returned. An invalid document is kept out, and the last good one stays.
   * @param report is called once for each change that is not valid, with what is wrong.
   */
  take(id: string, entry: Entry | undefined, report: (faults: readonly string[]) => void): Effect {
    if (entry === undefined) {
      const known = this.invalid.delete(id);
      return this.documents.delete(id) || known ? 'changed' : 'unchanged';
    }
    const held = this.documents.get(id);
    if (held?.modifiedZxid === entry.modifiedZxid && held.createdZxid === entry.createdZxid) return 'unchanged';
    const parsed = this.#schema.safeParse(entry.value);
    if (!parsed.success) {
      if (this.invalid.get(id) === entry.modifiedZxid) return 'invalid';
      this.invalid.set(id, entry.modifiedZxid);
      report(parsed.error.issues.map((issue) => `${issue.path.join('.') || '(top level)'}: ${issue.message}`));
      return 'invalid';
    }
    this.invalid.delete(id);
    const { version, createdZxid, modifiedZxid } = entry;
    this.documents.set(id, { id, doc: parsed.data, version, createdZxid, modifiedZxid });
    return 'changed';
  }

  /** Ids to read after the children were listed: those not held yet, and those held that are gone. */
  differences(names: readonly string[]): readonly string[] {
    const listed = new Set(names);
    const missing = names.filter((name) => !this.documents.has(name) && !this.invalid.has(name));
    const gone = [...this.documents.keys(), ...this.invalid.keys()].filter((id) => !listed.has(id));
    return [...missing, ...gone];
  }
}
