import { decodeFloats } from '../halfFloat.js';
import { sizeOf } from '../tensor.js';
import { bytesPerElement, type WeightSource } from '../weight.js';

/** Bytes of a file read at a time. */
const chunkBytes = 2 ** 24;

/** A weight's values as float32, in `parts` equal parts of its rows (one an expert). */
export async function* readWeight(source: WeightSource, parts: number): AsyncGenerator<Float32Array> {
  const width = source.shape.at(-1)!;
  const rows = sizeOf(source.shape.slice(0, -1)) / parts;
  const step = Math.max(1, Math.floor(chunkBytes / (width * bytesPerElement[source.dtype])));
  for (let part = 0; part < parts; part++) {
    const values = new Float32Array(rows * width);
    for (let start = 0; start < rows; start += step) {
      const end = Math.min(rows, start + step);
      const bytes = await source.readRows(part * rows + start, part * rows + end);
      decodeFloats(bytes, source.dtype, values.subarray(start * width, end * width));
    }
    yield values;
  }
}
