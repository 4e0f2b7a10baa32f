import { bytesPerElement, isInt4, sizeOf, systemMemory } from '../engine/index.js';
import type { Model } from './model.js';
import { isStoredInt4, weightSource } from './parameters.js';
import { globalSpecs, moduleSpecs, type WeightSpec } from './weightMap.js';

export interface MemoryLimit {
  /** Bytes that the process may take in all. */
  readonly bytes: number;
  /** Tokens of the longest row that will run. */
  readonly rowLength: number;
}

/** Bytes, as a backend holds them. */
export interface MemoryNeeds {
  /** All that is loaded. */
  readonly weights: number;
  /** The largest layer. */
  readonly layer: number;
  /** What a row holds on its way through a layer, intermediate results included. */
  readonly row: number;
  /** The program itself: Node, code, buffers of files. */
  readonly program: number;
}

/** 80% of what the machine (or the container) has. */
export const defaultMaxMemory = (): number => Math.floor(0.8 * systemMemory());

/** What one tensor, weight or running sum may take at most, whatever the machine has: 32-bit addresses end at 4 GiB. */
export const addressableBytes = (model: Pick<Model, 'engine'>): number =>
  model.engine.backend.name === 'wasm' ? 0.97 * 2 ** 32 : Infinity;

const programBytes = 160e6;
/** Rows of a wide intermediate result that are held at a time. */
const wideRows = 512;

/** Whether all weights and a row fit. */
export function fitsMemory(model: Model, { bytes, rowLength }: MemoryLimit): boolean {
  const { weights, row, program } = memoryNeeds(model, rowLength);
  return weights + row + program <= bytes;
}

/** An estimate from above, from shapes and types alone. */
export function memoryNeeds(model: Model, longest: number): MemoryNeeds {
  const { specs, layers, config } = model;
  const rowLength = Math.min(longest, config.maxPositionEmbeddings);
  const bytesOf = (spec: WeightSpec, layer?: number): number => sizeOf(spec.shape) * elementBytes(model, spec, layer);
  const sum = (part: readonly WeightSpec[], layer?: number): number =>
    part.reduce((total, spec) => total + bytesOf(spec, layer), 0);
  const sizes = layers.map((layer) =>
    (['attention', 'mlp'] as const).reduce(
      (total, kind) => total + (layer.skips(kind) ? 0 : sum(moduleSpecs(specs, kind), layer.index)),
      0,
    ),
  );
  const { hiddenSize, intermediateSize, numAttentionHeads, numKeyValueHeads, headDim, numExpertsPerTok = 1 } = config;
  const narrow = 8 * hiddenSize + 3 * (numAttentionHeads + 2 * numKeyValueHeads) * headDim;
  const wide = 4 * Math.min(rowLength, wideRows) * 3 * intermediateSize * numExpertsPerTok;
  return {
    weights: sizes.reduce((total, size) => total + size, sum(globalSpecs(specs))),
    layer: Math.max(0, ...sizes),
    row: 4 * rowLength * narrow + wide,
    program: programBytes,
  };
}

/** WebAssembly keeps weights of 16 bits and of 4 as they are, the latter with a scale and perhaps a zero point a group. */
function elementBytes({ engine, parameters }: Model, spec: WeightSpec, layer?: number): number {
  if (engine.backend.name !== 'wasm' || spec.use === 'vector') return 4;
  // What a file stores as int4 takes the most with zero points and groups of 32.
  if (isStoredInt4(parameters, spec, layer)) return 0.5 + 3 / 32;
  const floats = weightSource(parameters, spec, layer);
  const source = parameters.quantize?.(floats, spec) ?? floats;
  if (!isInt4(source)) return bytesPerElement[source.dtype];
  const { groupSize, zeroPoints } = source.format;
  return 0.5 + (zeroPoints ? 3 : 2) / groupSize;
}
