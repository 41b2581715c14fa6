import { AppError } from '../errors.ts';
import type { XdrReader, XdrWriter } from './xdr.ts';

/** virTypedParameterType. */
const TYPE = { int: 1, uint: 2, llong: 3, ullong: 4, double: 5, boolean: 6, string: 7 } as const;

/** 64-bit numbers come as bigint: some are 2^64 - 1. */
export type TypedValue = number | bigint | boolean | string;

export type TypedParams = ReadonlyMap<string, TypedValue>;

/** A parameter that we send. */
export type TypedParam = { field: string; type: 'string'; value: string } | { field: string; type: 'ullong'; value: bigint };

export function writeTypedParam(writer: XdrWriter, param: TypedParam): void {
  writer.string(param.field);
  switch (param.type) {
    case 'string':
      writer.int(TYPE.string).string(param.value);
      return;
    case 'ullong':
      writer.int(TYPE.ullong).uhyper(param.value);
      return;
  }
}

export function readTypedParams(reader: XdrReader, maxItems: number): TypedParams {
  return new Map(reader.list(maxItems, () => [reader.string(), readValue(reader)] as const));
}

/** A whole number among parameters, undefined when absent or of another type. */
export function numberOf(params: TypedParams, field: string): number | undefined {
  const value = params.get(field);
  if (typeof value === 'number') return value;
  return typeof value === 'bigint' ? Number(value) : undefined;
}

function readValue(reader: XdrReader): TypedValue {
  const type = reader.int();
  switch (type) {
    case TYPE.int:
      return reader.int();
    case TYPE.uint:
      return reader.uint();
    case TYPE.llong:
      return reader.hyper();
    case TYPE.ullong:
      return reader.uhyper();
    case TYPE.double:
      return reader.double();
    case TYPE.boolean:
      return reader.int() !== 0;
    case TYPE.string:
      return reader.string();
    default:
      throw new AppError('component', 'libvirt sent a parameter of unknown type', { type });
  }
}
