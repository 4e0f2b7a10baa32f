/** Tensors, kernels and backends. Knows nothing of models or files. */
export { Accumulator } from './accumulator.js';
export { arraySource } from './arraySource.js';
export type * from './backend.js';
export { createBatch, lastRows, tokenIds, type Batch, type Sequence } from './batch.js';
export { backendChoices, backendNames, createEngine } from './createEngine.js';
export { engineOptions, type EngineOptions } from './engineOptions.js';
export { Engine } from './engine.js';
export {
  CacheError,
  DeviceLostError,
  NotFiniteError,
  ShapeError,
  UnsupportedOpError,
  UseAfterFreeError,
  UserError,
  WrongEngineError,
  type NotFinitePlace,
  type Shape,
} from './errors.js';
export type { Activation, Expression } from './expression.js';
export { allFinite, checkRead, encodeFinite, firstNotFinite, type TensorPart } from './finite.js';
export { checkOptions, flag, list, number, oneOf, refuse, text, whole, type Options, type Read } from './given.js';
export { decodeFloats, encodeFloats, float16ToFloat32, float32ToFloat16 } from './halfFloat.js';
export {
  dequantized,
  dequantizeRows,
  groupsOf,
  isInt4,
  middle,
  readInt4Rows,
  type Int4Format,
  type Int4Rows,
  type Int4Source,
} from './int4.js';
export { dequantizeInt8, readInt8Rows, type Int8Format, type Int8Rows, type Int8Source } from './int8.js';
export { KvCache, type CacheSpec } from './kvCache.js';
export type { Freeable, Memory, Owned, Scope } from './ledger.js';
export { fromNdarray, toNdarray } from './ndarrayView.js';
export { asFloats, type Packable } from './packable.js';
export type { Repeated, Replays } from './replays.js';
export { didYouMean, nearest } from './nearest.js';
export { shownName, shownNames, shownValue } from './shownValue.js';
export { Tensor, sizeOf, type DType, type Storage } from './tensor.js';
export { tfjsPackages } from './tfjs/choices.js';
export { Weight, bytesPerElement, type WeightDType, type WeightSource, type WeightUse } from './weight.js';
