import { bytesPerElement, sizeOf } from '../engine/index.js';
import { fusedNames, modulesOf, tensorNames, type Model } from '../models/index.js';

/** Most bytes of one read, and of all buffers together (one for each tensor). */
const most = { piece: 1 << 20, buffers: 32 << 20 };

/**
 * Reads a layer's tensors only to bring them into the operating system's cache. The reads run on Node's thread pool
 * while the main thread computes, and all pieces of a tensor go to the same buffer, so that nothing stays in memory. A
 * failure is left for the real read to report.
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

/** The checkpoint's tensors of a layer's modules that are not skipped. */
function layerTensors({ layers, parameters }: Model, layer: number): string[] {
  const { description } = layers[layer];
  const used = modulesOf(description).flatMap(([kind, { weights }]) => (layers[layer].skips(kind) ? [] : weights));
  const names = used.flatMap((weight) => [...tensorNames(weight), ...fusedNames(weight)]);
  // Not weights stored as integers: they are small, and reading them here would decode them.
  const isInteger = (name: string): boolean => Boolean(parameters.int4?.(name) ?? parameters.int8?.(name));
  return [...new Set(names)].filter((name) => parameters.has(name) && !isInteger(name));
}
