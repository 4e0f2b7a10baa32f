import { UserError, shownValue, type Shape, type WeightDType } from '../engine/index.js';
import { isJsonObject } from './jsonFile.js';

/** Bytes per element of every dtype that a safetensors file may hold here. */
export const safetensorsBytes = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
  F8_E8M0: 1,
  U16: 2,
  I16: 2,
  F16: 2,
  BF16: 2,
  U32: 4,
  I32: 4,
  F32: 4,
  U64: 8,
  I64: 8,
  F64: 8,
} as const;

export type SafetensorsDType = keyof typeof safetensorsBytes;

/** The dtypes that a weight may have; all others are read as raw bytes. */
export const weightDTypes: Readonly<Partial<Record<SafetensorsDType, WeightDType>>> = {
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
};

/** The dtype in a file of a weight of the engine. */
export const safetensorsDTypes: Readonly<Record<WeightDType, SafetensorsDType>> = {
  float32: 'F32',
  float16: 'F16',
  bfloat16: 'BF16',
};

/** The reference implementation refuses a longer header too (bytes). */
export const longestHeader = 100_000_000;

export interface TensorInfo {
  readonly dtype: SafetensorsDType;
  readonly shape: Shape;
  /** Length of its data. */
  readonly bytes: number;
}

/** A tensor and where its data begins, in bytes from the end of the header. */
export interface TensorEntry extends TensorInfo {
  readonly begin: number;
}

export interface SafetensorsHeader {
  /** In the order of the data. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly metadata: Readonly<Record<string, string>>;
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/**
 * Reads a header: the JSON after the eight length bytes. `dataBytes` is what the file holds behind it. As in the
 * reference implementation the tensors must cover the data exactly: no overlap, no gap, nothing behind the last one.
 * Throws UserError naming the file, the tensor, what was expected and what was found.
 */
export function parseSafetensorsHeader(path: string, json: Uint8Array, dataBytes: number): SafetensorsHeader {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(json));
  } catch (error) {
    throw new UserError(`${path}: the header is not valid JSON: ${(error as Error).message}`, {
      hint: 'is it a safetensors file?',
      cause: error,
    });
  }
  if (!isJsonObject(header))
    throw new UserError(`${path}: the header must be a JSON object, found ${shownValue(header)}`);
  const { __metadata__: metadata = {}, ...entries } = header;
  if (!isJsonObject(metadata) || Object.values(metadata).some((value) => typeof value !== 'string'))
    throw new UserError(`${path}: __metadata__ must be an object of strings, found ${shownValue(metadata)}`);
  const tensors = Object.entries(entries).map(
    ([name, entry]) => [name, parseEntry(path, name, entry, dataBytes)] as const,
  );
  tensors.sort(([, a], [, b]) => a.begin - b.begin || a.bytes - b.bytes);
  checkCoverage(path, tensors, dataBytes);
  return { tensors: new Map(tensors), metadata: metadata as Record<string, string> };
}

function parseEntry(path: string, name: string, entry: unknown, dataBytes: number): TensorEntry {
  const fail = (expected: string, found: unknown): never => {
    throw new UserError(`${path}: tensor ${name}: ${expected}, found ${shownValue(found)}`);
  };
  if (!isJsonObject(entry)) return fail('expected an object with dtype, shape and data_offsets', entry);
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== 'string' || !Object.hasOwn(safetensorsBytes, dtype))
    return fail(`expected a dtype of ${Object.keys(safetensorsBytes).join(', ')}`, dtype);
  if (!Array.isArray(shape) || !shape.every(isCount)) return fail('expected a shape of whole numbers', shape);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount) || offsets[0] > offsets[1])
    return fail('expected data_offsets of two whole numbers, begin and end', offsets);
  const [begin, end] = offsets as [number, number];
  if (end > dataBytes)
    return fail(`data_offsets must lie within the file's ${dataBytes} bytes of data (is the file truncated?)`, offsets);
  const bytes = shape.reduce<number>(
    (product, size: number) => product * size,
    safetensorsBytes[dtype as SafetensorsDType],
  );
  if (end - begin !== bytes)
    return fail(`${dtype} ${shownValue(shape)} takes ${bytes} bytes, expected data_offsets of that length`, offsets);
  return { dtype: dtype as SafetensorsDType, shape: shape as number[], bytes, begin };
}

function checkCoverage(path: string, tensors: readonly (readonly [string, TensorEntry])[], dataBytes: number): void {
  let end = 0;
  let before = 'the header';
  for (const [name, { begin, bytes }] of tensors) {
    if (begin < end)
      throw new UserError(
        `${path}: tensor ${name} overlaps ${before}: expected it to begin at byte ${end} of the data, found ${begin}`,
      );
    if (begin > end)
      throw new UserError(
        `${path}: tensor ${name} leaves a gap behind ${before}: expected it to begin at byte ${end} of the data, found ${begin}`,
      );
    end = begin + bytes;
    before = name;
  }
  if (end !== dataBytes)
    throw new UserError(`${path}: the tensors take ${end} bytes of data, but the file holds ${dataBytes}`);
}
