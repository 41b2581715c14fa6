import koffi from 'koffi';

/** An address in this process. All threads of it may use the same one. */
export type Pointer = bigint;

/** Bytes are passed by their address. They must not be moved or freed while the library may still use them. */
export type NativeArgument = Pointer | number | string | boolean | Uint8Array | null;

/** C types as koffi names them; strings are NUL-terminated UTF-8. */
export type NativeType = 'void *' | 'str' | 'int' | 'int64_t' | 'uint64_t' | 'uint8_t' | 'size_t';

export const NULL: Pointer = 0n;

/** A shared library and its functions, called in the thread that asks: a call blocks it for as long as it takes. */
export class NativeLibrary {
  readonly #library: ReturnType<typeof koffi.load>;

  /** @param file name that the dynamic linker finds. */
  constructor(file: string) {
    this.#library = koffi.load(file);
  }

  /** A function that returns a number; 64 bits too, as far as a number is exact. */
  number(name: string, ...types: readonly NativeType[]): (...args: readonly NativeArgument[]) => number {
    return this.#returning(name, 'int64_t', types, Number);
  }

  /** A function that returns an int. */
  int(name: string, ...types: readonly NativeType[]): (...args: readonly NativeArgument[]) => number {
    return this.#returning(name, 'int', types, Number);
  }

  /** A function that returns 64 bits, or a pointer. */
  wide(name: string, ...types: readonly NativeType[]): (...args: readonly NativeArgument[]) => bigint {
    return this.#returning(name, 'uint64_t', types, toBigInt);
  }

  nothing(name: string, ...types: readonly NativeType[]): (...args: readonly NativeArgument[]) => void {
    return this.#returning(name, 'void', types, () => undefined);
  }

  /** The address of a function, to be called by another library. */
  addressOf(name: string): Pointer {
    return toBigInt(koffi.address(this.#library.symbol(name)));
  }

  #returning<T>(name: string, result: string, types: readonly NativeType[], parse: (value: unknown) => T): (...args: readonly NativeArgument[]) => T {
    const call = this.#library.func(name, result, [...types]);
    return (...args) => parse(call(...args));
  }
}

/** Where bytes are, for structures that point to them; only for memory of `steadyBytes`. */
export function addressOf(memory: Uint8Array): Pointer {
  return koffi.address(memory);
}

/** Zeroed memory that stays where it is for as long as it is referenced. */
export function steadyBytes(sizeBytes: number): Buffer {
  // Small ones could be within the garbage collector's own heap, or in the pool of Node.
  return Buffer.allocUnsafeSlow(Math.max(sizeBytes, 128)).fill(0).subarray(0, sizeBytes);
}

function toBigInt(value: unknown): bigint {
  return typeof value === 'bigint' ? value : BigInt(Number(value));
}
