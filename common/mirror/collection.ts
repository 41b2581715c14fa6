import type { z } from 'zod';
import type { Entry } from '../store/store.ts';
import type { MirrorEntry, ResourceTable } from './resource-table.ts';

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
  readonly #foundBy: string | undefined;
  /** Value of the field `foundBy` to the ids of the documents that have it; mostly one. */
  readonly #found = new Map<string, readonly string[]>();

  constructor(kind: string, { root, schema, foundBy }: ResourceTable[string]) {
    this.kind = kind;
    this.root = root;
    this.#schema = schema;
    this.#foundBy = foundBy;
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
      return this.#hold(id, undefined) || known ? 'changed' : 'unchanged';
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
    this.#hold(id, { id, doc: parsed.data, version, createdZxid, modifiedZxid });
    return 'changed';
  }

  /** The documents whose field `foundBy` has this value, in no order. */
  find(value: string): readonly MirrorEntry<unknown>[] {
    return (this.#found.get(value) ?? []).flatMap((id) => this.documents.get(id) ?? []);
  }

  /** Ids to read after the children were listed: those not held yet, and those held that are gone. */
  differences(names: readonly string[]): readonly string[] {
    const listed = new Set(names);
    const missing = names.filter((name) => !this.documents.has(name) && !this.invalid.has(name));
    const gone = [...this.documents.keys(), ...this.invalid.keys()].filter((id) => !listed.has(id));
    return [...missing, ...gone];
  }

  /** @returns whether there is, or was, one. */
  #hold(id: string, entry: MirrorEntry<unknown> | undefined): boolean {
    const held = this.documents.get(id);
    if (entry === undefined) this.documents.delete(id);
    else this.documents.set(id, entry);
    const [before, after] = [this.#valueOf(held), this.#valueOf(entry)];
    if (before !== after) this.#move(id, before, after);
    return entry !== undefined || held !== undefined;
  }

  #valueOf(entry: MirrorEntry<unknown> | undefined): string | undefined {
    if (entry === undefined || this.#foundBy === undefined) return undefined;
    const { doc } = entry;
    const value: unknown = typeof doc === 'object' && doc !== null ? Reflect.get(doc, this.#foundBy) : undefined;
    return typeof value === 'string' ? value : undefined;
  }

  #move(id: string, before: string | undefined, after: string | undefined): void {
    if (before !== undefined) {
      const others = (this.#found.get(before) ?? []).filter((other) => other !== id);
      if (others.length === 0) this.#found.delete(before);
      else this.#found.set(before, others);
    }
    if (after !== undefined) this.#found.set(after, [...(this.#found.get(after) ?? []), id]);
  }
}
