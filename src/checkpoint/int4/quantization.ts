import { UserError } from '../../engine/index.js';
import { isJsonObject, type JsonObject } from '../jsonFile.js';
import { awqLayout } from './awqLayout.js';
import { compressedTensorsLayout } from './compressedTensorsLayout.js';
import { gptqLayout } from './gptqLayout.js';
import type { Int4Layout } from './layout.js';

export const int4Methods = ['awq', 'gptq', 'compressed-tensors'] as const;
export type Int4Method = (typeof int4Methods)[number];

/** How a checkpoint's weights are quantized, by its config. */
export interface Quantization {
  readonly method: Int4Method;
  /** `gemm`, `gptq`, `gptq_v2` or `pack-quantized`. */
  readonly format: string;
  /** Weights along a row that share a scale, -1 for a whole row; several where parts of the model differ. */
  readonly groupSizes: readonly number[];
  readonly symmetric: boolean;
  readonly layout: Int4Layout;
}

/**
 * Reads `quantization_config` of config.json (`where` for messages), or the object of the side files that came before
 * it. What is not 4-bit integers in one of the three layouts is a UserError.
 */
export function parseQuantization(raw: JsonObject, where: string): Quantization {
  const method = text(raw.quant_method ?? raw.method);
  switch (method) {
    case 'awq':
      return parseAwq(raw, where);
    case 'gptq':
      return parseGptq(raw, where);
    case 'compressed-tensors':
      return parseCompressedTensors(raw, where);
    default:
      throw refused(where, `quant_method ${JSON.stringify(raw.quant_method)}`);
  }
}

const refused = (where: string, what: string): UserError =>
  new UserError(`${where}: weights of ${what} are not read`, {
    hint: `4-bit ${int4Methods.join(', ')} are (gemm, gptq, gptq_v2 and pack-quantized)`,
  });

const text = (value: unknown): string => (typeof value === 'string' ? value.toLowerCase() : '');

function checkBits(where: string, bits: unknown): void {
  if (bits !== 4) throw refused(where, `${JSON.stringify(bits)} bits`);
}

function groupSizeOf(where: string, value: unknown): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || (value < 1 && value !== -1))
    throw new UserError(`${where}: group_size must be a whole number or -1, found ${JSON.stringify(value)}`);
  return value;
}

/** Spec 4.1; `w_bit` and `q_group_size` are older names. */
function parseAwq(raw: JsonObject, where: string): Quantization {
  checkBits(where, raw.bits ?? raw.w_bit);
  const format = text(raw.version ?? raw.format) || 'gemm';
  if (format !== 'gemm') throw refused(where, `AWQ's version ${format}`);
  const groupSize = groupSizeOf(where, raw.group_size ?? raw.q_group_size);
  const symmetric = raw.zero_point === false;
  return { method: 'awq', format, groupSizes: [groupSize], symmetric, layout: awqLayout({ groupSize }) };
}

/** Spec 5.1. */
function parseGptq(raw: JsonObject, where: string): Quantization {
  checkBits(where, raw.bits);
  const format = text(raw.checkpoint_format ?? raw.format) || 'gptq';
  if (format !== 'gptq' && format !== 'gptq_v2') throw refused(where, `GPTQ's format ${format}`);
  const groupSize = groupSizeOf(where, raw.group_size);
  const version = format === 'gptq' ? 1 : 2;
  return {
    method: 'gptq',
    format,
    groupSizes: [groupSize],
    symmetric: raw.sym !== false,
    layout: gptqLayout({ version, groupSize }),
  };
}

/** Spec 6. */
function parseCompressedTensors(raw: JsonObject, where: string): Quantization {
  if (raw.format !== 'pack-quantized') throw refused(where, `compressed-tensors' format ${JSON.stringify(raw.format)}`);
  if (isJsonObject(raw.transform_config) && Object.keys(raw.transform_config).length)
    throw refused(where, 'compressed-tensors with a transform_config');
  const schemes = Object.values(isJsonObject(raw.config_groups) ? raw.config_groups : {}).map((group) =>
    isJsonObject(group) && isJsonObject(group.weights) ? group.weights : {},
  );
  if (!schemes.length) throw new UserError(`${where}: expected config_groups that say how weights are quantized`);
  for (const { num_bits: bits, type } of schemes) {
    checkBits(where, bits);
    if (type !== undefined && type !== 'int') throw refused(where, `type ${JSON.stringify(type)}`);
  }
  const groupSizes = [
    ...new Set(
      schemes.map(({ strategy, group_size: size }) =>
        strategy === 'channel' || size === null || size === undefined ? -1 : groupSizeOf(where, size),
      ),
    ),
  ];
  return {
    method: 'compressed-tensors',
    format: 'pack-quantized',
    groupSizes,
    symmetric: schemes.every(({ symmetric }) => symmetric !== false),
    layout: compressedTensorsLayout({ groupSizes }),
  };
}
