import type { Packable, WeightSource } from '../engine/index.js';
import {
  isProjection,
  isTable,
  withQuantizer,
  type Parameters,
  type Quantize,
  type WeightSpec,
} from '../models/index.js';
import { int8 } from './int8.js';
import type { Int4Options } from './int4Options.js';
import { rtn } from './rtn.js';
import { storedFloats, type FloatHead } from './storedFloats.js';

type Stored = 'int4' | 'int8' | FloatHead;

/** What a weight of this use becomes: norms, biases and routers stay as they are. */
export function storedAs(weight: WeightSpec, { head = 'bf16' }: Int4Options): Stored {
  if (isTable(weight)) return head;
  return isProjection(weight) ? 'int4' : 'float';
}

/** The hook by which `loadModel` and `createModel` hold a model's weights in int4, rounded to nearest. */
export const rtnQuantizer =
  (options: Int4Options = {}): Quantize =>
  (source, spec) =>
    storedWeight(source, storedAs(spec, options), options);

function storedWeight(source: WeightSource, stored: Stored, options: Int4Options): Packable {
  if (stored === 'int4') return rtn(source, options);
  return stored === 'int8' ? int8(source) : storedFloats(source, stored);
}

/** Parameters whose weights are int4 when a model loads them; the model knows nothing of it. */
export const quantizeParameters = (parameters: Parameters, options: Int4Options = {}): Parameters =>
  withQuantizer(parameters, rtnQuantizer(options));
