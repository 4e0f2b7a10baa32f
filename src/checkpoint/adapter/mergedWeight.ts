import { decodeFloats, encodeFinite, type WeightSource } from '../../engine/index.js';
import { readValues, widthOf } from '../rowViews.js';

/** What is merged into a weight [out, in]. */
export interface LoraFactors {
  /** A [rank, in] and B [out, rank]. */
  readonly down: WeightSource;
  readonly up: WeightSource;
  readonly scale: number;
  /** Of DoRA: the magnitude of each row [out]. */
  readonly magnitude?: WeightSource;
}

/**
 * W + scale B A, in float32, rounded once to W's own type; with magnitudes m (Liu et al., 2024) each row of it times
 * m / its norm.
 */
export function mergedWeight(weight: WeightSource, { down, up, scale, magnitude }: LoraFactors): WeightSource {
  const width = widthOf(weight);
  const rank = widthOf(up);
  let factors: Promise<[Float32Array, Float32Array, Float32Array | undefined]> | undefined;
  const read = async (): Promise<[Float32Array, Float32Array, Float32Array | undefined]> => [
    await readValues(down),
    await readValues(up),
    magnitude && (await readValues(magnitude)),
  ];
  const readRows = async (start: number, end: number): Promise<Uint8Array> => {
    const [a, b, m] = await (factors ??= read());
    const values = decodeFloats(await weight.readRows(start, end), weight.dtype);
    const out = new Float32Array(values.length);
    for (let row = start; row < end; row++) {
      const delta = out.subarray((row - start) * width, (row - start + 1) * width);
      for (let r = 0; r < rank; r++) {
        const [factor, from] = [b[row * rank + r], r * width];
        for (let i = 0; i < width; i++) delta[i] += factor * a[from + i];
      }
      const own = values.subarray((row - start) * width, (row - start + 1) * width);
      for (let i = 0; i < width; i++) delta[i] = own[i] + Math.fround(scale * delta[i]);
      if (m) toMagnitude(delta, m[row]);
    }
    return encodeFinite(out, weight.dtype, weight.name);
  };
  return { name: weight.name, shape: weight.shape, dtype: weight.dtype, readRows };
}

function toMagnitude(row: Float32Array, magnitude: number): void {
  const factor = magnitude / Math.sqrt(row.reduce((sum, value) => sum + value * value, 0));
  for (let i = 0; i < row.length; i++) row[i] *= factor;
}
