import { totalmem } from 'node:os';
import { sizeOf } from '../engine/index.js';
import type { Model } from './model.js';
import { weightSource } from './parameters.js';
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
export function defaultMaxMemory(): number {
  const contained = process.constrainedMemory?.() ?? 0;
  return Math.floor(0.8 * (contained > 0 ? Math.min(contained, totalmem()) : totalmem()));
}

/** What a backend's memory can hold at all, whatever the machine has: 32-bit addresses end at 4 GiB. */
export const addressableBytes = (model: Pick<Model, 'engine'>): number =>
  model.engine.backend.name === 'wasm' ? 0.97 * 2 ** 32 : Infinity;

const programBytes = 160e6;
/** Rows of a wide intermediate result that are held at a time. */
const wideRows = 512;

/** Whether all weights and a row fit. */
export function fitsMemory(model: Model, { bytes, rowLength }: MemoryLimit): boolean {
  const { weights, row, program } = memoryNeeds(model, rowLength);
  return weights + row <= addressableBytes(model) && weights + row + program <= bytes;
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

/** WebAssembly keeps bfloat16 as it is; all else is float32. */
function elementBytes({ engine, parameters }: Model, spec: WeightSpec, layer?: number): number {
  if (engine.backend.name !== 'wasm' || spec.use === 'vector') return 4;
  return weightSource(parameters, spec, layer).dtype === 'bfloat16' ? 2 : 4;
}
