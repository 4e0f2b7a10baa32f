import { join } from 'node:path';
import {
  SafetensorsFile,
  makeFolders,
  tensorOfBytes,
  tensorOfSource,
  writeSafetensors,
  type TensorToWrite,
} from '../checkpoint/index.js';
import {
  dequantized,
  groupsOf,
  isInt4,
  type Int4Format,
  type Int4Rows,
  type Int4Source,
  type Shape,
  type WeightSource,
} from '../engine/index.js';
import type { Parameters } from '../models/index.js';

/** What takes a tensor's place. */
export type Replacement = Int4Source | WeightSource;

/** Int4 rows in memory as a source. */
export function int4Array(name: string, shape: Shape, format: Int4Format, rows: Int4Rows): Int4Source {
  const width = shape[shape.length - 1];
  const [rowBytes, groups] = [Math.ceil(width / 2), groupsOf(width, format)];
  return {
    name,
    shape,
    dtype: 'int4',
    format,
    readInt4: async (start, end) => ({
      quants: rows.quants.subarray(start * rowBytes, end * rowBytes),
      scales: rows.scales.subarray(start * groups, end * groups),
      zeros: rows.zeros?.subarray(start * groups, end * groups),
    }),
  };
}

/** A checkpoint with some tensors replaced, int4 ones by the floats that they stand for. */
export const replacedParameters = (
  parameters: Parameters,
  replacement: (tensor: string) => Replacement | undefined,
): Parameters => ({
  folder: parameters.folder,
  has: (name) => parameters.has(name),
  source: (name) => {
    const found = replacement(name);
    return found === undefined ? parameters.source(name) : isInt4(found) ? dequantized(found) : found;
  },
});

/** The tensors that a quantization replaces. With a folder, a finished layer's go from memory to a file. */
export class QuantizedTensors implements AsyncDisposable {
  readonly #tensors = new Map<string, Replacement>();
  readonly #files: SafetensorsFile[] = [];

  constructor(private readonly folder?: string) {}

  get(tensor: string): Replacement | undefined {
    return this.#tensors.get(tensor);
  }

  set(tensor: string, replacement: Replacement): void {
    this.#tensors.set(tensor, replacement);
  }

  delete(tensor: string): void {
    this.#tensors.delete(tensor);
  }

  names(): string[] {
    return [...this.#tensors.keys()];
  }

  /** Writes what is not in a file yet; the file appears complete or not at all. Gives its name in the folder. */
  async save(part: number): Promise<string> {
    const name = fileOf(part);
    if (this.folder === undefined) return name;
    const held = new Set(this.#files.flatMap((file) => file.tensorNames().map(tensorOf)));
    const fresh = [...this.#tensors].filter(([name]) => !held.has(name));
    await makeFolders(this.folder);
    await writeSafetensors(this.#path(part), (await Promise.all(fresh.map(toWrite))).flat());
    await this.open(part);
    return name;
  }

  /** Takes up what an earlier run has saved. */
  async open(part: number): Promise<void> {
    if (this.folder === undefined) return;
    const file = await SafetensorsFile.open(this.#path(part), { finite: true });
    this.#files.push(file);
    for (const name of file.tensorNames())
      if (!name.includes(':')) this.#tensors.set(name, file.source(name));
      else if (name.endsWith(':quants')) this.#tensors.set(tensorOf(name), await int4InFile(file, tensorOf(name)));
  }

  #path(part: number): string {
    return join(this.folder!, fileOf(part));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#files.map((file) => file.close()));
  }
}

const fileOf = (part: number): string => `layer-${part}.safetensors`;

const tensorOf = (name: string): string => name.split(':')[0];

/** `w:quants` [out, in / 2], `w:scales` [out, groups], `w:zeros`, and `w:format` with the width and the group size. */
async function toWrite([name, replacement]: [string, Replacement]): Promise<TensorToWrite[]> {
  if (!isInt4(replacement)) return [tensorOfSource(replacement, name)];
  const { shape, format } = replacement;
  const [out, width] = shape;
  const { quants, scales, zeros } = await replacement.readInt4(0, out);
  const groups = groupsOf(width, format);
  const header = Int32Array.of(width, format.groupSize);
  return [
    tensorOfBytes(`${name}:quants`, 'U8', [out, Math.ceil(width / 2)], quants),
    tensorOfBytes(
      `${name}:scales`,
      'F16',
      [out, groups],
      new Uint8Array(scales.buffer, scales.byteOffset, scales.byteLength),
    ),
    ...(zeros ? [tensorOfBytes(`${name}:zeros`, 'U8', [out, groups], zeros)] : []),
    tensorOfBytes(`${name}:format`, 'I32', [2], new Uint8Array(header.buffer)),
  ];
}

async function int4InFile(file: SafetensorsFile, name: string): Promise<Int4Source> {
  const [width, groupSize] = new Int32Array((await file.bytes(`${name}:format`)).slice().buffer);
  const [out, rowBytes] = file.info(`${name}:quants`).shape;
  const zeroPoints = file.has(`${name}:zeros`);
  const format: Int4Format = { groupSize: groupSize as Int4Format['groupSize'], zeroPoints };
  const groups = groupsOf(width, format);
  return {
    name,
    shape: [out, width],
    dtype: 'int4',
    format,
    readInt4: async (start, end) => ({
      quants: await file.bytes(`${name}:quants`, start * rowBytes, end * rowBytes),
      scales: new Uint16Array(
        (await file.bytes(`${name}:scales`, 2 * start * groups, 2 * end * groups)).slice().buffer,
      ),
      zeros: zeroPoints ? await file.bytes(`${name}:zeros`, start * groups, end * groups) : undefined,
    }),
  };
}
