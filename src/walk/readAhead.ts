import { bytesPerElement, sizeOf } from '../engine/index.js';
import { fusedNames, modulesOf, tensorNames, type Model } from '../models/index.js';

/** Bytes of one read, and of the buffers of all tensors, one each. */
const most = { piece: 1 << 20, buffers: 32 << 20 };

/**
 * Reads a layer's tensors for the system's cache only: the reads wait in Node's pool of threads, which works through
 * them while the main thread computes, and all pieces of a tensor land in one buffer. Nothing is held in memory when
 * it is done, and a failure is left for the real read to report.
 */
export async function readAhead(model: Model, layer: number): Promise<void> {
  if (layer >= model.layers.length) return;
  const names = layerTensors(model, layer);
  const pieceBytes = Math.min(most.piece, most.buffers / Math.max(1, names.length));
  const reads: Promise<unknown>[] = [];
  for (const name of names) {
    const source = model.parameters.source(name);
    const width = source.shape.at(-1) ?? 1;
    const rows = sizeOf(source.shape) / width;
    const step = Math.max(1, Math.floor(pieceBytes / (width * bytesPerElement[source.dtype])));
    for (let row = 0; row < rows; row += step) reads.push(source.readRows(row, Math.min(rows, row + step)));
  }
  await Promise.allSettled(reads);
}

/** What the checkpoint has of a layer that is not skipped. */
function layerTensors({ layers, parameters }: Model, layer: number): string[] {
  const { description } = layers[layer];
  const used = modulesOf(description).flatMap(([kind, { weights }]) => (layers[layer].skips(kind) ? [] : weights));
  const names = used.flatMap((weight) => [...tensorNames(weight), ...fusedNames(weight)]);
  // What is stored as int4 is small, and to read it would be to decode it.
  return [...new Set(names)].filter((name) => parameters.has(name) && !parameters.int4?.(name));
}
