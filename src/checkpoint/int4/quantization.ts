import { UserError, shownValue } from '../../engine/index.js';
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
    case 'auto-round':
    case 'autoround':
    case 'intel/auto-round':
      return parseAutoRound(raw, where);
    case 'bitsandbytes':
      throw refused(where, `quant_method "bitsandbytes"${bitsAndBytes(raw)}`);
    default:
      throw refused(where, `quant_method ${shownValue(raw.quant_method)}`);
  }
}

const bitsAndBytes = (raw: JsonObject): string => {
  if (raw.load_in_4bit === true) return ` (in 4 bits, ${shownValue(raw.bnb_4bit_quant_type ?? 'fp4')})`;
  return raw.load_in_8bit === true ? ' (in 8 bits)' : '';
};

const refused = (where: string, what: string): UserError =>
  new UserError(`${where}: weights of ${what} are not read`, {
    hint: `4-bit ${int4Methods.join(', ')} are (gemm, gptq, gptq_v2 and pack-quantized), and float8 and int8 with scales`,
  });

const text = (value: unknown): string => (typeof value === 'string' ? value.toLowerCase() : '');

/** Some programs write numbers and switches as texts. */
const numberOf = (value: unknown): unknown =>
  typeof value === 'string' && /^-?\d+$/.test(value.trim()) ? Number(value) : value;
const isTrue = (value: unknown): boolean => value === true || text(value) === 'true';
const isFalse = (value: unknown): boolean => value === false || text(value) === 'false';

function checkBits(where: string, bits: unknown): void {
  if (numberOf(bits) !== 4) throw refused(where, `${shownValue(bits)} bits`);
}

function groupSizeIn(where: string, value: unknown): number {
  const size = numberOf(value);
  if (typeof size !== 'number' || !Number.isInteger(size) || (size < 1 && size !== -1))
    throw new UserError(`${where}: group_size must be a whole number or -1, found ${shownValue(value)}`);
  return size;
}

/**
 * The group sizes of a config and of what it says of single modules, in an object under `key`: regular expressions or
 * names, by which other widths are refused. Which size a weight has, its scales tell.
 */
function allGroupSizes(raw: JsonObject, key: string, where: string, usual: number): number[] {
  const rules = isJsonObject(raw[key]) ? Object.entries(raw[key]) : [];
  const sizes = rules.flatMap(([name, rule]) => {
    // Of GPTQModel: modules that are not quantized.
    if (name.startsWith('-:') || !isJsonObject(rule)) return [];
    const bits = numberOf(rule.bits ?? 4);
    // Of AutoRound: floats.
    if (typeof bits === 'number' && bits >= 16) return [];
    if (bits !== 4) throw refused(where, `${shownValue(rule.bits)} bits, as its ${key} says of ${shownValue(name)},`);
    return rule.group_size === undefined ? [] : [groupSizeIn(`${where}, ${key}`, rule.group_size)];
  });
  return [...new Set([usual, ...sizes])];
}

/** See docs/formats.md, 'AWQ files'; `w_bit` and `q_group_size` are older names. */
function parseAwq(raw: JsonObject, where: string): Quantization {
  checkBits(where, raw.bits ?? raw.w_bit);
  const format = text(raw.version ?? raw.format) || 'gemm';
  if (format !== 'gemm') throw refused(where, `AWQ's version ${format}`);
  const groupSizes = [groupSizeIn(where, raw.group_size ?? raw.q_group_size)];
  return { method: 'awq', format, groupSizes, symmetric: isFalse(raw.zero_point), layout: awqLayout({ groupSizes }) };
}

/** docs/formats.md, 'GPTQ files'; `dynamic` is GPTQModel's. */
function parseGptq(raw: JsonObject, where: string): Quantization {
  checkBits(where, raw.bits);
  const format = text(raw.checkpoint_format ?? raw.format) || 'gptq';
  if (format !== 'gptq' && format !== 'gptq_v2') throw refused(where, `GPTQ's format ${format}`);
  const groupSizes = allGroupSizes(raw, 'dynamic', where, groupSizeIn(where, raw.group_size));
  return gptqQuantization(format, groupSizes, raw);
}

const gptqQuantization = (
  format: 'gptq' | 'gptq_v2',
  groupSizes: readonly number[],
  { sym }: JsonObject,
): Quantization => ({
  method: 'gptq',
  format,
  groupSizes,
  symmetric: !isFalse(sym),
  layout: gptqLayout({ version: format === 'gptq' ? 1 : 2, groupSizes, symmetric: isTrue(sym) }),
});

/** AutoRound's own config, of weights that lie as GPTQ's first version or AWQ lay them. */
function parseAutoRound(raw: JsonObject, where: string): Quantization {
  checkBits(where, raw.bits);
  const packing = text(raw.packing_format) || 'auto_round:auto_gptq';
  const dataType = text(raw.data_type) || 'int';
  if (dataType !== 'int') throw refused(where, `auto-round's data_type ${shownValue(raw.data_type)}`);
  const actBits = numberOf(raw.act_bits ?? 16);
  if (!(typeof actBits === 'number' && actBits >= 16))
    throw refused(where, `auto-round's act_bits ${shownValue(actBits)}`);
  const groupSizes = allGroupSizes(raw, 'extra_config', where, groupSizeIn(where, raw.group_size));
  switch (packing) {
    case 'auto_round:auto_gptq':
      return gptqQuantization('gptq', groupSizes, raw);
    case 'auto_round:auto_awq':
      return {
        method: 'awq',
        format: 'gemm',
        groupSizes,
        symmetric: !isFalse(raw.sym),
        layout: awqLayout({ groupSizes }),
      };
    default:
      throw refused(where, `auto-round's packing_format ${shownValue(raw.packing_format)}`);
  }
}

/** See docs/formats.md, 'compressed-tensors files'. */
function parseCompressedTensors(raw: JsonObject, where: string): Quantization {
  const groups = Object.values(isJsonObject(raw.config_groups) ? raw.config_groups : {}).filter(isJsonObject);
  const packed = 'pack-quantized';
  // Since version 0.13 each group may have a format of its own.
  const apart = raw.format === undefined || raw.format === 'mixed-precision';
  const other = apart ? groups.find(({ format }) => format !== packed) : undefined;
  if (other)
    throw refused(where, `compressed-tensors' format ${shownValue(raw.format)} with ${shownValue(other.format)}`);
  if (!apart && raw.format !== packed) throw refused(where, `compressed-tensors' format ${shownValue(raw.format)}`);
  if (isJsonObject(raw.transform_config) && Object.keys(raw.transform_config).length)
    throw refused(where, 'compressed-tensors with a transform_config');
  const schemes = groups.map(({ weights }) => (isJsonObject(weights) ? weights : {}));
  if (!schemes.length) throw new UserError(`${where}: expected config_groups that say how weights are quantized`);
  for (const { num_bits: bits, type } of schemes) {
    checkBits(where, bits);
    if (type !== undefined && type !== 'int') throw refused(where, `type ${shownValue(type)}`);
  }
  const groupSizes = [
    ...new Set(
      schemes.map(({ strategy, group_size: size }) =>
        strategy === 'channel' || size === null || size === undefined ? -1 : groupSizeIn(where, size),
      ),
    ),
  ];
  return {
    method: 'compressed-tensors',
    format: packed,
    groupSizes,
    symmetric: schemes.every(({ symmetric }) => symmetric !== false),
    layout: compressedTensorsLayout({ groupSizes }),
  };
}
