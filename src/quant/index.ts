/** Int4 weights: quantizers around a model's parameters. */
export { groupSizes, int4Format, type Int4Options } from './int4Options.js';
export { asBfloat16, quantizeParameters, rtnQuantizer } from './quantizeParameters.js';
export { randomInt4, randomQuantizer } from './randomInt4.js';
export { quantizeRows, rtn } from './rtn.js';
