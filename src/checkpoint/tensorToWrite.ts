import { NotFiniteError, bytesPerElement, firstNotFinite, type Shape, type WeightSource } from '../engine/index.js';
import type { RawTensor } from './safetensorsFile.js';
import { safetensorsBytes, safetensorsDTypes, type SafetensorsDType } from './safetensorsHeader.js';

/** A tensor to write: `read` gives its bytes in order, in pieces of any size. */
export interface TensorToWrite extends Omit<RawTensor, 'read'> {
  read(): AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

/** Bytes of a tensor's data. */
export const tensorBytes = ({ dtype, shape }: { dtype: SafetensorsDType; shape: Shape }): number =>
  shape.reduce((product, size) => product * size, safetensorsBytes[dtype]);

/** A tensor in memory, little-endian and row-major. */
export function tensorOfBytes(name: string, dtype: SafetensorsDType, shape: Shape, bytes: Uint8Array): TensorToWrite {
  return { name, dtype, shape, read: () => [bytes] };
}

/**
 * A weight as a tensor to write, read about 4 MiB at a time; `name` replaces the source's own. NotFiniteError where it is
 * computed and a value is not finite: a file's own are checked where they are read.
 */
export function tensorOfSource(source: WeightSource, name = source.name): RawTensor {
  const width = source.shape[source.shape.length - 1] ?? 1;
  const rows = source.shape.slice(0, -1).reduce((product, size) => product * size, 1);
  const step = Math.max(1, Math.floor((4 << 20) / (width * bytesPerElement[source.dtype] || 1)));
  const read = async function* (): AsyncGenerator<Uint8Array> {
    for (let row = 0; row < rows; row += step) {
      const bytes = await source.readRows(row, Math.min(row + step, rows));
      if (firstNotFinite(bytes, source.dtype) >= 0)
        throw new NotFiniteError(`tensor ${name} comes out with a value that is not finite`, { tensor: name });
      yield bytes;
    }
  };
  return { name, dtype: safetensorsDTypes[source.dtype], shape: source.shape, read };
}
