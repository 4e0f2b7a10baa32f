import { UserError } from '../../engine/index.js';
import { fileSystem } from '../files/index.js';
import { isJsonObject, readJsonObject, type JsonObject } from '../jsonFile.js';
import type { SafetensorsFile } from '../safetensorsFile.js';
import type { TensorInfo } from '../safetensorsHeader.js';
import { openScaled, type Scaled } from '../scaled/index.js';
import { partName, type Parts } from './layout.js';
import { quantizationFiles, quantizationKeys } from './quantizationFiles.js';
import { parseQuantization, type Quantization } from './quantization.js';
import type { StoredInt4 } from './storedInt4.js';

/** A quantized weight, and the tensors that hold it. */
export interface QuantizedWeight {
  readonly stored: StoredInt4;
  readonly tensors: readonly string[];
}

/** Weights of 4-bit integers, by the names that they would have as floats. */
export interface Quantized {
  readonly quantization?: Quantization;
  readonly weights: ReadonlyMap<string, QuantizedWeight>;
  /** Weights of 8 bits, which are read as floats. */
  readonly scaled?: Scaled;
  readonly notes: readonly string[];
}

type Places = ReadonlyMap<string, SafetensorsFile>;

/**
 * The quantized weights of a folder, by its config or the side files of older programs; none where all weights are
 * floats, whatever the config says. Reads no weights.
 */
export async function openQuantizedWeights(folder: string, config: JsonObject, places: Places): Promise<Quantized> {
  const said = await saidQuantization(folder, config);
  if (!said) return { weights: new Map(), notes: [] };
  if (!holdsPacked(places)) {
    const notes = [`${said.where} is left over, since all weights are floats: it is ignored`];
    return { weights: new Map(), notes };
  }
  const scaled = openScaled(said.raw, said.where, config, places);
  if (scaled) return { weights: new Map(), scaled, notes: [scaled.note] };
  const quantization = parseQuantization(said.raw, said.where);
  const weights = new Map<string, QuantizedWeight>();
  const opening = packedWeights(quantization, folder, places).map(async (parts) => {
    const tensors = quantization.layout.parts
      .filter((part) => parts.info(part))
      .map((part) => partName(parts.name, part));
    return [parts.name, { stored: await opened(quantization, folder, parts), tensors }] as const;
  });
  for (const [name, weight] of await Promise.all(opening)) weights.set(name, weight);
  return { quantization, weights, notes: await oddities(quantization, packedWeights(quantization, folder, places)) };
}

async function opened({ layout }: Quantization, folder: string, parts: Parts): Promise<StoredInt4> {
  try {
    return await layout.open(parts);
  } catch (error) {
    throw error instanceof UserError ? new UserError(`${folder}: ${error.message}`, { cause: error }) : error;
  }
}

/** What a config or a side file says of quantization, and where. */
async function saidQuantization(
  folder: string,
  config: JsonObject,
): Promise<{ raw: JsonObject; where: string } | undefined> {
  for (const [key, method] of Object.entries(quantizationKeys)) {
    const raw = config[key];
    if (isJsonObject(raw))
      return { raw: { quant_method: method, ...raw }, where: `${key} of ${fileSystem.join(folder, 'config.json')}` };
  }
  for (const [file, method] of Object.entries(quantizationFiles)) {
    const path = fileSystem.join(folder, file);
    const raw = await readJsonObject(path);
    if (raw) return { raw: { quant_method: method, ...raw }, where: path };
  }
  return undefined;
}

/** Whether a matrix is of integers, or of floats of 8 bits, that is not beside its weight as floats. */
function holdsPacked(places: Places): boolean {
  const isFloat = ({ dtype }: TensorInfo): boolean => /^(F|BF)(16|32|64)$/.test(dtype);
  return [...places].some(([name, file]) => {
    const info = file.info(name);
    // Positions and masks, which some files hold, are of 64 bits, or booleans.
    if (isFloat(info) || info.shape.length < 2 || /^(.64|BOOL)$/.test(info.dtype)) return false;
    const weight = name.replace(/[^.]*$/, 'weight');
    const beside = name === weight ? undefined : places.get(weight);
    return !beside || !isFloat(beside.info(weight));
  });
}

/** The tensors of each quantized weight. */
function packedWeights({ layout }: Quantization, folder: string, places: Places): Parts[] {
  const [first] = layout.parts;
  const weights = [...places.keys()]
    .filter((name) => name.endsWith(`.${first}`))
    .map((name) => `${name.slice(0, -first.length)}weight`);
  return weights.map((name) => {
    const present = new Set(layout.parts.filter((part) => places.has(partName(name, part))));
    const missing = layout.parts.slice(0, layout.required).find((part) => !present.has(part));
    if (missing)
      throw new UserError(`${folder}: tensor ${partName(name, missing)} is missing beside ${partName(name, first)}`);
    if (places.has(name)) throw new UserError(`${folder} holds both ${name} and ${partName(name, first)}`);
    const file = (part: string): SafetensorsFile => places.get(partName(name, part))!;
    return {
      name,
      info: (part) => (present.has(part) ? file(part).info(partName(name, part)) : undefined),
      read: (part, start, end) => file(part).bytes(partName(name, part), start, end),
    };
  });
}

/** What the layout finds odd, once. */
async function oddities({ layout }: Quantization, weights: readonly Parts[]): Promise<string[]> {
  const [first] = weights;
  const odd = first && (await layout.oddity?.(first));
  return odd === undefined ? [] : [odd];
}
