import { sizeOf, bytesPerElement } from '../engine/index.js';
import { tensorNames, type Model } from '../models/index.js';

const pieceBytes = 1 << 20;

/**
 * Reads a layer's tensors for the system's cache only: the reads wait in Node's pool of threads, which works through
 * them while the main thread computes, and all pieces of a tensor land in one buffer. Nothing is held in memory when
 * it is done, and a failure is left for the real read to report.
 */
export async function readAhead({ layers, specs, parameters }: Model, layer: number): Promise<void> {
  if (layer >= layers.length) return;
  const reads: Promise<unknown>[] = [];
  const seen = new Set<string>();
  for (const spec of specs) {
    if (!spec.name.includes('*') || layers[layer].skips(spec.path.startsWith('attention.') ? 'attention' : 'mlp')) continue;
    for (const name of [...tensorNames(spec, layer), spec.fused?.name.replace('*', String(layer)) ?? '']) {
      if (!parameters.has(name) || seen.has(name)) continue;
      seen.add(name);
      const source = parameters.source(name);
      const width = source.shape.at(-1) ?? 1;
      const rows = sizeOf(source.shape) / width;
      const step = Math.max(1, Math.floor(pieceBytes / (width * bytesPerElement[source.dtype])));
      for (let row = 0; row < rows; row += step) reads.push(source.readRows(row, Math.min(rows, row + step)));
    }
  }
  await Promise.allSettled(reads);
}
