import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  castSource,
  fileError,
  formatJson,
  tensorOfSource,
  writeWeights,
  type ModelSource,
  type JsonObject,
  type TensorToWrite,
} from '../checkpoint/index.js';
import type { Progress } from '../progress/index.js';
import type { WeightDType } from '../engine/index.js';
import type { ModelDescription } from '../models/index.js';
import { joinedPieces } from './joinedWeights.js';
import { namedSources, type PlannedWeight } from './plannedWeights.js';
import type { ExportPlan } from './exportPlan.js';

/** A plain checkpoint's config: the layers of the plan, without drop lists, and without the code that reads them. */
export function plainConfig(
  config: JsonObject,
  description: ModelDescription,
  { layers }: ExportPlan,
  type?: WeightDType,
): JsonObject {
  const {
    drop_attn_list: _attention,
    drop_mlp_list: _mlp,
    auto_map: _code,
    quantization_config: _quantization,
    compression_config: _compression,
    ...rest
  } = config;
  const { conventions } = description;
  const isWhole =
    layers.every(({ original }, layer) => original === layer) && layers.length === description.layers.length;
  const lists = {
    ...(isWhole ? {} : conventions.layerKeys),
    ...(Array.isArray(rest.layer_types) ? { layer_types: rest.layer_types as unknown[] } : {}),
  };
  const ofLayers = Object.entries(lists).map(([key, list]) => [key, layers.map(({ original }) => list[original])]);
  return {
    ...rest,
    architectures: rest.architectures ?? [conventions.architecture],
    num_hidden_layers: layers.length,
    ...Object.fromEntries(ofLayers),
    ...(isWhole
      ? {}
      : conventions.mixtureKeys?.(
          layers.map(({ original }) => description.layers[original]),
          rest,
        )),
    ...typeKeys(config, type),
  };
}

/** A config as text, whose floats are those of the `original`. */
export const configText = (config: JsonObject, original: JsonObject): string => `${formatJson(config, original)}\n`;

/** `torch_dtype` of transformers v4, `dtype` of v5: whichever the config has. */
export function typeKeys(config: JsonObject, type: WeightDType | undefined): JsonObject {
  if (type === undefined) return {};
  return 'dtype' in config
    ? { dtype: type, ...('torch_dtype' in config ? { torch_dtype: type } : {}) }
    : { torch_dtype: type };
}

/** Weights as tensors of a checkpoint, in the file's own types or in `type`. */
export const floatTensors = (weights: readonly PlannedWeight[], type?: WeightDType): TensorToWrite[] =>
  joinedPieces(weights.flatMap((weight) => namedSources(weight).map((named) => ({ ...named, spec: weight.spec })))).map(
    ({ name, source }) => tensorOfSource(castSource(source, type ?? source.dtype), name),
  );

/** Texts by the names of their files, `config.json` among them, weights, and the tokenizer's files as they are. */
export async function writeCheckpoint(
  folder: string,
  from: ModelSource,
  texts: Readonly<Record<string, string>>,
  tensors: readonly TensorToWrite[],
  onProgress?: Progress,
): Promise<void> {
  await from.copyAlong('tokenizer', folder);
  for (const [name, text] of Object.entries(texts)) await writeText(join(folder, name), text);
  await writeWeights(folder, tensors, {
    onProgress: ({ bytesDone, bytesTotal }) => onProgress?.(bytesDone, bytesTotal, 'bytes'),
  });
}

export async function writeText(path: string, text: string): Promise<void> {
  await writeFile(path, text).catch((error: unknown) => {
    throw fileError(error, 'cannot write', path);
  });
}
