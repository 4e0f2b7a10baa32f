import { decodeFloats, encodeFinite, type Int4Source, type WeightSource } from '../engine/index.js';
import {
  isProjection,
  isTable,
  withQuantizer,
  type Parameters,
  type Quantize,
  type WeightSpec,
} from '../models/index.js';
import type { Int4Options } from './int4Options.js';
import { rtn } from './rtn.js';

/** What a weight of this use becomes: norms, biases and routers stay as they are. */
export function storedAs(weight: WeightSpec, { head = 'bf16' }: Int4Options): 'int4' | 'bf16' | 'float' {
  if (isTable(weight)) return head;
  return isProjection(weight) ? 'int4' : 'float';
}

/** The hook by which `loadModel` and `createModel` hold a model's weights in int4, rounded to nearest. */
export const rtnQuantizer =
  (options: Int4Options = {}): Quantize =>
  (source, spec) =>
    storedWeight(source, storedAs(spec, options), options);

function storedWeight(
  source: WeightSource,
  stored: 'int4' | 'bf16' | 'float',
  options: Int4Options,
): WeightSource | Int4Source {
  if (stored === 'int4') return rtn(source, options);
  return stored === 'bf16' && source.dtype !== 'bfloat16' ? asBfloat16(source) : source;
}

/** Parameters whose weights are int4 when a model loads them; the model knows nothing of it. */
export const quantizeParameters = (parameters: Parameters, options: Int4Options = {}): Parameters =>
  withQuantizer(parameters, rtnQuantizer(options));

/** A source's values rounded to bfloat16. */
export const asBfloat16 = (source: WeightSource): WeightSource => ({
  name: source.name,
  shape: source.shape,
  dtype: 'bfloat16',
  readRows: async (start, end) =>
    encodeFinite(decodeFloats(await source.readRows(start, end), source.dtype), 'bfloat16', source.name),
});
