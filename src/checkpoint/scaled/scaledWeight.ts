import { decodeFloats, encodeFinite, type WeightDType, type WeightSource } from '../../engine/index.js';
import type { SafetensorsFile } from '../safetensorsFile.js';
import { weightDTypes } from '../safetensorsHeader.js';
import { float8e4m3, float8e5m2, int8 } from './float8.js';

/** What the bytes of a stored type stand for. */
export const valuesOfBytes = { F8_E4M3: float8e4m3, F8_E5M2: float8e5m2, I8: int8 } as const;
export type ScaledDType = keyof typeof valuesOfBytes;

/** A matrix of 8 bits, and the tensors that say what it means. */
export interface ScaledTensors {
  readonly name: string;
  readonly dtype: ScaledDType;
  readonly shape: readonly [out: number, width: number];
  readonly file: SafetensorsFile;
  readonly scale: { readonly name: string; readonly file: SafetensorsFile };
  /** Integers of the scale's shape. */
  readonly zero?: { readonly name: string; readonly file: SafetensorsFile };
  /** Rows and columns that share a scale. */
  readonly block: readonly [rows: number, columns: number];
}

/** A weight [out, in] as its values times their scales: in float32, rounded once to `dtype`. */
export function scaledWeight(tensors: ScaledTensors, dtype: WeightDType): WeightSource {
  const { name, shape, file, block } = tensors;
  const [, width] = shape;
  const across = Math.ceil(width / block[1]);
  const values = valuesOfBytes[tensors.dtype];
  let grid: Promise<Grid> | undefined;
  const readRows = async (start: number, end: number): Promise<Uint8Array> => {
    const { scales, zeros } = await (grid ??= readGrid(tensors));
    const bytes = await file.bytes(name, start * width, end * width);
    const out = new Float32Array(bytes.length);
    for (let row = start; row < end; row++) {
      const at = (row - start) * width;
      const first = Math.floor(row / block[0]) * across;
      for (let i = 0; i < width; i++) {
        const cell = first + Math.floor(i / block[1]);
        out[at + i] = (values[bytes[at + i]] - (zeros ? zeros[cell] : 0)) * scales[cell];
      }
    }
    return encodeFinite(out, dtype, name);
  };
  return { name, shape, dtype, readRows };
}

interface Grid {
  readonly scales: Float32Array;
  readonly zeros?: Float32Array;
}

async function readGrid({ scale, zero }: ScaledTensors): Promise<Grid> {
  const { dtype } = scale.file.info(scale.name);
  const scales = decodeFloats(await scale.file.bytes(scale.name), weightDTypes[dtype]!);
  const zeros = zero && Float32Array.from(await zero.file.bytes(zero.name), (byte) => int8[byte]);
  return { scales, zeros };
}
