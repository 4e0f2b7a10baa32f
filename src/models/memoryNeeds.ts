import { host } from '../engine/hosts/index.js';
import { bytesPerElement, checkOptions, number, sizeOf, whole } from '../engine/index.js';
import type { Model } from './model.js';
import { computedSource, isStoredInt4, withStoredInt8 } from './parameters.js';
import { globalWeights, outputWeights, type LayerDescription } from './description.js';
import { moduleKinds, type WeightSpec } from './weights.js';

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
  /** What makes logits of the last hidden states. */
  readonly output: number;
  /** What a row holds on its way through a layer, intermediate results included. */
  readonly row: number;
  /** The program itself: Node, code, buffers of files. */
  readonly program: number;
}

/** 80% of what the machine (or the container) has. */
export const defaultMaxMemory = (): number => Math.floor(0.8 * host.memoryBytes());

/** What one tensor, weight or running sum may take at most, whatever the machine has: 32-bit addresses end at 4 GiB. */
export const addressableBytes = (model: Pick<Model, 'engine'>): number =>
  model.engine.backend.name === 'wasm' ? 0.97 * 2 ** 32 : Infinity;

const programBytes = 160e6;
/** Rows of a wide intermediate result that are held at a time. */
const wideRows = 512;

/** What a number of bytes that work may take can be; Infinity sets no limit. */
export const memoryOption = number('a number of bytes above 0', (bytes) => bytes > 0);

/** Whether all weights and a row fit. */
export function fitsMemory(model: Model, limit: MemoryLimit): boolean {
  checkOptions(limit, { bytes: memoryOption, rowLength: whole(1) });
  const { bytes, rowLength } = limit;
  const { weights, row, program } = memoryNeeds(model, rowLength);
  return weights + row + program <= bytes;
}

/** An estimate from above, from shapes and types alone. */
export function memoryNeeds(model: Model, longest: number): MemoryNeeds {
  whole(1)(longest, '`longest`');
  const { description, layers, config } = model;
  const rowLength = Math.min(longest, config.maxPositionEmbeddings);
  const sum = (weights: readonly WeightSpec[]): number =>
    weights.reduce((total, weight) => total + sizeOf(weight.shape) * elementBytes(model, weight), 0);
  const sizes = layers.map((layer) =>
    moduleKinds.reduce((total, kind) => total + (layer.skips(kind) ? 0 : sum(layer.description[kind].weights)), 0),
  );
  return {
    weights: sizes.reduce((total, size) => total + size, sum(globalWeights(description))),
    layer: Math.max(0, ...sizes),
    output: sum(outputWeights(description)),
    row: Math.max(...description.layers.map((layer) => rowBytes(layer, config.hiddenSize, rowLength))),
    program: programBytes,
  };
}

/** What a row of tokens holds on its way through a layer. */
function rowBytes({ attention, mlp }: LayerDescription, hiddenSize: number, rowLength: number): number {
  const { heads, keyValueHeads, headDim } = attention;
  const narrow = 8 * hiddenSize + 3 * (heads + 2 * keyValueHeads) * headDim;
  const visited = mlp.kind === 'mixture' ? mlp.topK : 1;
  const wide = 4 * Math.min(rowLength, wideRows) * 3 * mlp.intermediateSize * visited;
  return 4 * rowLength * narrow + wide;
}

/** WebAssembly keeps weights of 16, 8 and 4 bits as they are, the integers with a scale and perhaps a zero point a group. */
function elementBytes({ engine, parameters }: Model, weight: WeightSpec): number {
  if (engine.backend.name !== 'wasm' || weight.use === 'vector') return 4;
  // What a file stores as int4 takes the most with minima and groups of 32.
  if (!weight.made && isStoredInt4(parameters, weight)) return 0.5 + 4 / 32;
  const floats = computedSource(parameters, weight);
  const source = withStoredInt8(parameters, weight, parameters.quantize?.(floats, weight) ?? floats);
  if (source.dtype === 'int8') return 1 + 2 / source.format.groupSize;
  if (source.dtype !== 'int4') return bytesPerElement[source.dtype];
  const { groupSize, zeroPoints, minima } = source.format;
  return 0.5 + (minima ? 4 : zeroPoints ? 3 : 2) / groupSize;
}
