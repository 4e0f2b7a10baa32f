import { join } from 'node:path';
import { UserError } from '../../engine/index.js';
import { isJsonObject, readJsonObject, type JsonObject } from '../jsonFile.js';
import type { SafetensorsFile } from '../safetensorsFile.js';
import { partName } from './layout.js';
import { quantizationFiles } from './quantizationFiles.js';
import { parseQuantization, type Quantization } from './quantization.js';
import type { StoredInt4 } from './storedInt4.js';

/** A quantized weight, and the tensors that hold it. */
export interface QuantizedWeight {
  readonly stored: StoredInt4;
  readonly tensors: readonly string[];
}

/** The quantization that a folder's config names, or side files of older programs; undefined where there is none. */
export async function readQuantization(folder: string, config: JsonObject): Promise<Quantization | undefined> {
  if (isJsonObject(config.quantization_config))
    return parseQuantization(config.quantization_config, `quantization_config of ${join(folder, 'config.json')}`);
  for (const [file, method] of Object.entries(quantizationFiles)) {
    const path = join(folder, file);
    const raw = await readJsonObject(path);
    if (raw) return parseQuantization({ quant_method: method, ...raw }, path);
  }
  return undefined;
}

/** The quantized weights of a checkpoint, by the names that they would have as floats. Reads no weights. */
export async function openQuantizedWeights(
  { layout }: Quantization,
  folder: string,
  places: ReadonlyMap<string, SafetensorsFile>,
): Promise<Map<string, QuantizedWeight>> {
  const [first] = layout.parts;
  const weights = [...places.keys()]
    .filter((name) => name.endsWith(`.${first}`))
    .map((name) => `${name.slice(0, -first.length)}weight`);
  const opened = weights.map(async (name) => {
    const present = layout.parts.filter((part) => places.has(partName(name, part)));
    const missing = layout.parts.slice(0, layout.required).find((part) => !present.includes(part));
    if (missing)
      throw new UserError(`${folder}: tensor ${partName(name, missing)} is missing beside ${partName(name, first)}`);
    if (places.has(name)) throw new UserError(`${folder} holds both ${name} and ${partName(name, first)}`);
    const file = (part: string): SafetensorsFile => places.get(partName(name, part))!;
    const stored = await layout.open({
      name,
      info: (part) => (present.includes(part) ? file(part).info(partName(name, part)) : undefined),
      read: (part, start, end) => file(part).bytes(partName(name, part), start, end),
    });
    return [name, { stored, tensors: present.map((part) => partName(name, part)) }] as const;
  });
  return new Map(await Promise.all(opened));
}
