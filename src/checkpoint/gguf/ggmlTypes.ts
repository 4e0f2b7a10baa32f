import type { WeightDType } from '../../engine/index.js';

interface Layout {
  /** ggml's number of the type (docs/formats.md, 'GGUF blocks'). */
  readonly id: number;
  /** Elements and bytes of a block: along the input dimension. */
  readonly block: number;
  readonly bytes: number;
}

/** Element types of a GGUF tensor that are read. */
export const ggmlTypes = {
  F32: { id: 0, block: 1, bytes: 4 },
  F16: { id: 1, block: 1, bytes: 2 },
  Q4_0: { id: 2, block: 32, bytes: 18 },
  Q4_1: { id: 3, block: 32, bytes: 20 },
  Q5_0: { id: 6, block: 32, bytes: 22 },
  Q5_1: { id: 7, block: 32, bytes: 24 },
  Q8_0: { id: 8, block: 32, bytes: 34 },
  Q2_K: { id: 10, block: 256, bytes: 84 },
  Q3_K: { id: 11, block: 256, bytes: 110 },
  Q4_K: { id: 12, block: 256, bytes: 144 },
  Q5_K: { id: 13, block: 256, bytes: 176 },
  Q6_K: { id: 14, block: 256, bytes: 210 },
  IQ4_NL: { id: 20, block: 32, bytes: 18 },
  BF16: { id: 30, block: 1, bytes: 2 },
} as const satisfies Readonly<Record<string, Layout>>;

export type GgmlType = keyof typeof ggmlTypes;

const plain: Readonly<Partial<Record<GgmlType, WeightDType>>> = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' };

/** The engine's name of a type without blocks. */
export const floatType = (type: GgmlType): WeightDType | undefined => plain[type];

export const ggmlBytes = (type: GgmlType, elements: number): number =>
  (elements / ggmlTypes[type].block) * ggmlTypes[type].bytes;
