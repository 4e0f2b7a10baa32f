import { UserError, shownValue, type WeightDType, type WeightSource } from '../../engine/index.js';
import { isJsonObject, type JsonObject } from '../jsonFile.js';
import type { SafetensorsFile } from '../safetensorsFile.js';
import { weightDTypes, type TensorInfo } from '../safetensorsHeader.js';
import { scaledWeight, valuesOfBytes, type ScaledDType, type ScaledTensors } from './scaledWeight.js';

/** A weight of 8 bits as floats, and the tensors that hold it, itself first. */
export interface ScaledWeight {
  readonly source: WeightSource;
  readonly tensors: readonly string[];
}

/** Weights of 8 bits with scales, under their own names. */
export interface Scaled {
  readonly weights: ReadonlyMap<string, ScaledWeight>;
  /** Tensors that say what these mean, and are no weights themselves. */
  readonly parts: ReadonlySet<string>;
  readonly note: string;
}

type Places = ReadonlyMap<string, SafetensorsFile>;
type Block = readonly [rows: number, columns: number];

/** Ends of the names of what stands beside `X.weight`, beside scales. */
const scaleParts = ['weight_scale_inv', 'weight_scale'];
const zeroPart = 'weight_zero_point';
const orderPart = 'weight_g_idx';
/** Of activations, caches and parts of them, which are not rounded here. */
const otherParts = /\.(input_scale|input_scale_ub|input_zero_point|output_scale|[qkv]_scale|activation_scale)$/;

/** Programs whose matrices of 8 bits are what they store times scales beside them. */
const methods = ['fp8', 'fbgemm_fp8', 'compressed-tensors', 'modelopt'];

/**
 * The weights of 8 bits of a file, by a config of DeepSeek's and transformers' `fp8`, of `fbgemm_fp8`, `modelopt` or
 * compressed-tensors (docs/formats.md, 'Weights of 8 bits'); undefined where it holds none, or packed integers. Reads
 * headers only. UserError for a weight without scales, and for scales that do not go with it.
 */
export function openScaled(raw: JsonObject, where: string, config: JsonObject, places: Places): Scaled | undefined {
  const held = [...places].filter(([name, file]) => name.endsWith('.weight') && isScaledType(file.info(name).dtype));
  const method = typeof raw.quant_method === 'string' ? raw.quant_method.toLowerCase() : '';
  const isPacked = [...places].some(
    ([name, file]) => /^[IU]32$/.test(file.info(name).dtype) && !name.endsWith(orderPart),
  );
  if (!held.length || isPacked || !methods.includes(method)) return undefined;
  checkConfig(raw, where);
  const blocks = blocksOf(raw, where);
  const dtype = floatType(config);
  const packed = held.find(([name, file]) => method !== 'compressed-tensors' && file.info(name).dtype === 'I8');
  if (packed)
    throw new UserError(`${where}: weights of ${method} in bytes of integers are not read, such as ${packed[0]}`, {
      hint: 'they may hold two floats of 4 bits each',
    });
  const tensors = held.map(([name, file]) => scaledTensors(name, file, places, blocks, where));
  const parts = [...places.keys()].filter((name) => isPart(name, places) || otherParts.test(name));
  return {
    weights: new Map(
      tensors.map((weight) => {
        const { name, scale, zero } = weight;
        return [
          name,
          { source: scaledWeight(weight, dtype), tensors: [name, scale.name, ...(zero ? [zero.name] : [])] },
        ];
      }),
    ),
    parts: new Set(parts),
    note: noteOf(tensors, dtype),
  };
}

const isScaledType = (dtype: string): dtype is ScaledDType => Object.hasOwn(valuesOfBytes, dtype);

/** Whether a tensor belongs to a weight of the file. */
function isPart(name: string, places: Places): boolean {
  const end = name.slice(name.lastIndexOf('.') + 1);
  return [...scaleParts, zeroPart, orderPart].includes(end) && places.has(`${name.slice(0, -end.length)}weight`);
}

function checkConfig(raw: JsonObject, where: string): void {
  const refuse = (what: string): never => {
    throw new UserError(`${where}: weights of ${String(raw.quant_method)} with ${what} are not read`);
  };
  if (isJsonObject(raw.transform_config) && Object.keys(raw.transform_config).length) refuse('a transform_config');
  const sparse = isJsonObject(raw.sparsity_config) ? raw.sparsity_config.format : undefined;
  if (sparse !== undefined && sparse !== null && sparse !== 'dense')
    refuse(`the sparsity format ${shownValue(sparse)}`);
  if (raw.quant_method === 'modelopt' && raw.quant_algo !== 'FP8') refuse(`quant_algo ${shownValue(raw.quant_algo)}`);
}

/** Rows and columns that share a scale, as the config names them, where it is neither a whole tensor nor a row. */
function blocksOf(raw: JsonObject, where: string): Block[] {
  const groups = Object.values(isJsonObject(raw.config_groups) ? raw.config_groups : {}).filter(isJsonObject);
  const schemes = groups.map(({ weights }) => (isJsonObject(weights) ? weights : {}));
  const named = [
    raw.weight_block_size ?? (raw.quant_method === 'fp8' ? [128, 128] : undefined),
    ...schemes.map(({ block_structure: block, group_size: size, strategy }) =>
      strategy === 'block' ? block : typeof size === 'number' && size > 0 ? [1, size] : undefined,
    ),
  ];
  return named
    .filter((block) => block !== undefined && block !== null)
    .map((block) => {
      const sizes = Array.isArray(block) ? (block as unknown[]) : [];
      if (sizes.length === 2 && sizes.every((size) => Number.isInteger(size) && (size as number) > 0))
        return [sizes[0] as number, sizes[1] as number];
      throw new UserError(`${where}: expected blocks of two whole numbers, found ${shownValue(block)}`);
    });
}

/** What the model computes in, by its config. */
function floatType(config: JsonObject): WeightDType {
  const text = isJsonObject(config.text_config) ? config.text_config : {};
  const named = config.dtype ?? config.torch_dtype ?? text.dtype ?? text.torch_dtype;
  return named === 'float32' || named === 'float16' ? named : 'bfloat16';
}

function scaledTensors(
  name: string,
  file: SafetensorsFile,
  places: Places,
  blocks: readonly Block[],
  where: string,
): ScaledTensors {
  const { dtype, shape } = file.info(name);
  const beside = (end: string): ScaledTensors['zero'] => {
    const part = name.replace(/weight$/, end);
    const holder = places.get(part);
    return holder && { name: part, file: holder };
  };
  const shown = `${file.path}: ${name} is ${dtype} [${shape.join(',')}]`;
  const scales = scaleParts.map(beside).filter((part) => part !== undefined);
  if (shape.length !== 2) throw new UserError(`${shown}: of weights in 8 bits, only matrices are read`);
  if (!scales.length) throw new UserError(`${shown}, and its scales are missing: ${name}_scale or ${name}_scale_inv`);
  if (scales.length > 1)
    throw new UserError(`${shown}, and has two tensors of scales: ${scales[0].name}, ${scales[1].name}`);
  if (beside(orderPart))
    throw new UserError(`${shown}: groups that are not in order (weight_g_idx) are not read in 8 bits`);
  const [scale] = scales;
  const held = scale.file.info(scale.name);
  if (!(held.dtype in weightDTypes))
    throw new UserError(
      `${scale.file.path}: tensor ${scale.name} is ${held.dtype}, expected scales of F32, F16 or BF16`,
    );
  const size = [shape[0], shape[1]] as const;
  const block = blockOf(held, size, blocks);
  if (!block)
    throw new UserError(
      `${scale.file.path}: tensor ${scale.name} is [${held.shape.join(',')}], which are no scales of ${name} [${shape.join(',')}]${blocks.length ? ` in blocks of ${blocks.map((one) => one.join(' x ')).join(' or ')}, as ${where} says` : ''}`,
    );
  const zero = beside(zeroPart);
  if (zero) checkZeros(zero, held, dtype as ScaledDType);
  return { name, dtype: dtype as ScaledDType, shape: size, file, scale, zero, block };
}

/** What each scale is of: the tensor, a row, or a block of those named. */
function blockOf({ shape }: TensorInfo, [out, width]: Block, blocks: readonly Block[]): Block | undefined {
  if (shape.every((size) => size === 1)) return [out, width];
  if (shape[0] === out && (shape.length === 1 || (shape.length === 2 && shape[1] === 1))) return [1, width];
  if (shape.length !== 2) return undefined;
  return blocks.find(
    ([rows, columns]) => shape[0] === Math.ceil(out / rows) && shape[1] === Math.ceil(width / columns),
  );
}

function checkZeros({ name, file }: NonNullable<ScaledTensors['zero']>, scale: TensorInfo, dtype: ScaledDType): void {
  const { dtype: type, shape } = file.info(name);
  if (dtype !== 'I8' || type !== 'I8' || shape.join() !== scale.shape.join())
    throw new UserError(
      `${file.path}: tensor ${name} is ${type} [${shape.join(',')}] beside a weight of ${dtype}, expected I8 [${scale.shape.join(',')}] beside I8`,
    );
}

const typeNames: Readonly<Record<ScaledDType, string>> = {
  F8_E4M3: 'float8 (E4M3)',
  F8_E5M2: 'float8 (E5M2)',
  I8: 'int8',
};

function noteOf(tensors: readonly ScaledTensors[], dtype: WeightDType): string {
  const kinds = new Map<string, number>();
  for (const { dtype: stored, shape, block } of tensors) {
    const of =
      block[0] === shape[0] && block[1] === shape[1]
        ? 'tensor'
        : block.join() === `1,${shape[1]}`
          ? 'row'
          : `${block.join(' x ')} block`;
    const kind = `${typeNames[stored]} with a scale for each ${of}`;
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  }
  const words = [...kinds].map(([kind, count]) => `${count} of ${kind}`);
  return `weights in 8 bits are read as ${dtype}, and activations are not rounded: ${words.join(', ')}`;
}
