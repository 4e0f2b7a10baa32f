/** Int4 weights: quantizers around a model's parameters. */
export { groupSizes, int4Format, type Int4Options } from './int4Options.js';
export { asBfloat16, quantizeParameters, rtnQuantizer } from './quantizeParameters.js';
export { separateExperts } from './separateExperts.js';
export { randomInt4, randomQuantizer } from './randomInt4.js';
export { quantizeRows, rtn } from './rtn.js';
export { gptq, type GptqOptions, type GptqResult } from './gptq.js';
export {
  fitGrid,
  groupQuantized,
  roundToGrid,
  snapToGrid,
  storedFormat,
  type Grid,
  type GroupOptions,
} from './groupQuantizer.js';
export type { ProjectionResult } from './projections.js';
export type { Replacement } from './quantizedTensors.js';
export {
  quantizeMethods,
  checkHead,
  projectionTensors,
  quantizeModel,
  dampingOption,
  quantizeOptions,
  type QuantizeMethod,
  type QuantizeModelOptions,
  type QuantizeProgress,
  type QuantizeState,
  type QuantizedModel,
} from './quantizeModel.js';
export { quantizationConfig, sideConfigs, type AlgorithmDetails, type FormatConfig } from './formatConfig.js';
export { checkQuantizable, writeQuantized, type WriteQuantizedOptions } from './writeQuantized.js';
export {
  quantizeLoss,
  quantizeRecordFile,
  quantizedSize,
  type QuantizeLoss,
  type QuantizeRecord,
  type QuantizedSize,
} from './quantizeReport.js';
