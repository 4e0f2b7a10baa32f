import { awqLayout, compressedTensorsLayout, gptqLayout, type Int4Layout } from '../../src/checkpoint/int4/index.js';
import { partName, type Parts } from '../../src/checkpoint/int4/layout.js';
import type { SafetensorsDType } from '../../src/checkpoint/safetensorsHeader.js';
import type { TensorToWrite } from '../../src/checkpoint/tensorToWrite.js';
import type { Int4Rows } from '../../src/engine/int4.js';

export const layoutNames = ['awq', 'gptq', 'gptq_v2', 'compressed-tensors'] as const;
export type LayoutName = (typeof layoutNames)[number];

export function layoutOf(name: LayoutName, groupSize: number): Int4Layout {
  switch (name) {
    case 'awq':
      return awqLayout({ groupSizes: [groupSize] });
    case 'gptq':
      return gptqLayout({ version: 1, groupSizes: [groupSize] });
    case 'gptq_v2':
      return gptqLayout({ version: 2, groupSizes: [groupSize] });
    case 'compressed-tensors':
      return compressedTensorsLayout({ groupSizes: [groupSize] });
  }
}

export interface TensorInMemory {
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** What is in memory as a layout reads it from a file. */
export const partsOf = (name: string, tensors: Readonly<Record<string, TensorInMemory>>): Parts => ({
  name,
  info: (part) => {
    const found = tensors[part];
    return found && { dtype: found.dtype, shape: found.shape, bytes: found.bytes.length };
  },
  read: async (part, start, end) => tensors[part].bytes.slice(start, end),
});

/** Tensors to write, by their parts; in the order in which they are read. */
export async function inMemory(
  name: string,
  tensors: readonly TensorToWrite[],
): Promise<Record<string, TensorInMemory>> {
  const result: Record<string, TensorInMemory> = {};
  for (const tensor of tensors) {
    const pieces: Uint8Array[] = [];
    for await (const piece of tensor.read()) pieces.push(piece.slice());
    const part = [
      'weight_packed',
      'weight_scale',
      'weight_shape',
      'weight_zero_point',
      'qweight',
      'qzeros',
      'scales',
      'g_idx',
    ].find((part) => partName(name, part) === tensor.name)!;
    result[part] = { dtype: tensor.dtype, shape: tensor.shape, bytes: Uint8Array.from(Buffer.concat(pieces)) };
  }
  return result;
}

/** Two integers a byte, from [out, in] of them. */
export function quantsOf(q: readonly number[], out: number, width: number): Uint8Array {
  const rowBytes = Math.ceil(width / 2);
  const quants = new Uint8Array(out * rowBytes);
  q.forEach((value, i) => {
    const [row, column] = [Math.floor(i / width), i % width];
    quants[row * rowBytes + (column >> 1)] |= value << (column % 2 === 0 ? 0 : 4);
  });
  return quants;
}

/** Without what a file need not keep: the half-byte behind an odd row, and zero points that are all in the middle. */
export function canonical({ quants, scales, zeros }: Int4Rows, width: number): Int4Rows {
  const rowBytes = Math.ceil(width / 2);
  const kept = quants.slice();
  if (width % 2) for (let last = rowBytes - 1; last < kept.length; last += rowBytes) kept[last] &= 15;
  return { quants: kept, scales: scales.slice(), zeros: zeros?.some((zero) => zero !== 8) ? zeros.slice() : undefined };
}
