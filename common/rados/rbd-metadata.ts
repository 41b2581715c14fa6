import type { CallOptions, Caller } from './call.ts';
import { metadataGetCall, metadataListCall, metadataRemoveCall, metadataSetCall } from './image-calls.ts';
import type { ObjectPlace } from './object-calls.ts';

/** Texts that are kept with an image; keys that begin with `conf_` are librbd's settings for it. */
export class RbdMetadata {
  readonly #caller: Caller;
  readonly #place: ObjectPlace;

  constructor(caller: Caller, place: ObjectPlace) {
    this.#caller = caller;
    this.#place = place;
  }

  async list(image: string, options?: CallOptions): Promise<Map<string, string>> {
    return new Map(await this.#caller.call(metadataListCall, { ...this.#place, image }, options));
  }

  /** @throws AppError 'not-found' when the image or the key is missing. */
  async get(image: string, key: string, options?: CallOptions): Promise<string> {
    return this.#caller.call(metadataGetCall, { ...this.#place, image, key }, options);
  }

  async set(image: string, key: string, value: string, options?: CallOptions): Promise<void> {
    await this.#caller.call(metadataSetCall, { ...this.#place, image, key, value }, options);
  }

  /** @throws AppError 'not-found' when the image or the key is missing. */
  async remove(image: string, key: string, options?: CallOptions): Promise<void> {
    await this.#caller.call(metadataRemoveCall, { ...this.#place, image, key }, options);
  }
}
