import type { Ui } from '../ui.js';
import { safetensorsDTypes, type ModelSource } from '../../checkpoint/index.js';
import { createEngine, type Abilities, type WeightDType } from '../../engine/index.js';
import { modelSize, openModel, recordedDrops, tensorWords, type Drops, type ModelSize } from '../../models/index.js';
import { command } from '../command.js';
import { layerPicture } from '../layerPicture.js';
import { version } from '../package.js';
import { facts } from '../table.js';
import { formatBytes, formatCount, formatLayers } from '../units.js';

interface TensorHeld {
  readonly name: string;
  readonly type: string;
  readonly shape: readonly number[];
  readonly held: string;
}

interface Inspection extends ModelSize {
  readonly version: string;
  readonly model: string;
  readonly modelType: string;
  readonly layers: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly attentionHeads: number;
  readonly keyValueHeads: number;
  readonly headDim: number;
  readonly experts?: number;
  readonly vocabulary: number;
  readonly context: number;
  readonly dtype: string;
  /** Of int4 weights: the format, and how many weights share a scale (-1: a whole row). */
  readonly quantization?: {
    readonly method: string;
    readonly format: string;
    readonly groupSizes: readonly number[];
    readonly symmetric: boolean;
  };
  /** Of each tensor: its type in the file, and what it is held as. */
  readonly tensors: readonly TensorHeld[];
  readonly drop: Drops;
  readonly backend: Abilities & { readonly name: string };
}

export const inspect = command(
  'inspect',
  'Show what a model is, what is dropped in it, and what the backend can do here',
  {
    description:
      'Reads config.json and the headers of the weight files, or the head of a GGUF file, never the weights. Where tensors are held otherwise than the file has them, it says as what.',
    computes: false,
    options: {},
    examples: [
      ['inspect models/tiny-stories', 'the built-in model'],
      ['inspect Llama-3.2-1B --json', 'the same facts for a program'],
      ['inspect Llama-3.2-1B --backend webgpu', 'which GPU would compute'],
      ['inspect Llama-3.2-1B --backend tfjs', 'which TensorFlow.js backend would compute'],
    ],
    run: async (o, ui) => ui.show(await inspectModel(o, ui), describe),
  },
);

async function inspectModel(
  o: { model: string; adapter?: string; backend: Parameters<typeof createEngine>[0]; threads?: number },
  ui: Ui,
): Promise<Inspection> {
  await using source = await openModel(o.model, o);
  source.notes.forEach((note) => ui.note(note));
  using engine = await createEngine(o.backend, { threads: o.threads, v8Flags: true });
  const { source: checkpoint, config, description } = source;
  const drop = recordedDrops(config);
  const { quantization } = checkpoint;
  return {
    version,
    model: o.model,
    modelType: config.modelType,
    layers: config.numHiddenLayers,
    hiddenSize: config.hiddenSize,
    intermediateSize: config.intermediateSize,
    attentionHeads: config.numAttentionHeads,
    keyValueHeads: config.numKeyValueHeads,
    headDim: config.headDim,
    experts: config.numLocalExperts,
    vocabulary: config.vocabSize,
    context: config.maxPositionEmbeddings,
    dtype: config.dtype,
    quantization: quantization && {
      method: quantization.method,
      format: quantization.format,
      groupSizes: quantization.groupSizes,
      symmetric: quantization.symmetric,
    },
    tensors: checkpoint.tensorNames().map((name) => tensorHeld(checkpoint, name)),
    drop,
    ...modelSize(checkpoint, description, drop),
    backend: { name: engine.backend.name, ...engine.backend.abilities },
  };
}

function describe(i: Inspection): string[] {
  const { name, tier, threads, ...details } = i.backend;
  const experts = i.experts ? ` in each of ${i.experts} experts` : '';
  return [
    ...facts([
      ['model', `${i.model} (${i.modelType}, ${i.dtype})`],
      ['layers', `${i.layers}: hidden ${i.hiddenSize}, MLP ${i.intermediateSize}${experts}`],
      ['heads', `${i.attentionHeads} of ${i.headDim}, ${i.keyValueHeads} for keys and values`],
      ['vocabulary', formatCount(i.vocabulary)],
      ['context', `${formatCount(i.context)} tokens`],
      ['parameters', formatCount(i.parameters)],
      ['weights', formatBytes(i.bytes)],
      ...heldAs(i.tensors),
      ...(i.quantization ? [['quantization', quantizationText(i.quantization)] as const] : []),
      ['key-value cache', `${formatBytes(i.kvBytesPerToken)} a token in float32`],
      ['dropped', `attention = ${formatLayers(i.drop.attention)}, mlp = ${formatLayers(i.drop.mlp)}`],
      ['backend', `${name} (${tier}), ${threads} ${threads === 1 ? 'thread' : 'threads'}`],
      ...Object.entries(details).map(([ability, value]) => [`  ${ability}`, String(value)] as const),
    ]),
    '',
    ...layerPicture(i.layers, i.drop),
  ];
}

function tensorHeld(source: ModelSource, name: string): TensorHeld {
  const { dtype, shape } = source.info(name);
  const integers = source.int4(name) ? 'int4' : source.int8?.(name)?.dtype;
  return { name, type: dtype, shape, held: integers ?? source.source(name).dtype };
}

/** A line for each type in the file that is held as another. */
function heldAs(tensors: readonly TensorHeld[]): (readonly [string, string])[] {
  const kinds = new Map<string, string[]>();
  for (const { name, type, held } of tensors)
    if (safetensorsDTypes[held as WeightDType] !== type) {
      const kind = `${type} as ${held}`;
      kinds.set(kind, [...(kinds.get(kind) ?? []), name]);
    }
  return [...kinds].map(([kind, names]) => ['  held', `${kind}: ${tensorWords(names)}`]);
}

function quantizationText({ method, format, groupSizes, symmetric }: NonNullable<Inspection['quantization']>): string {
  const groups = groupSizes.map((size) => (size < 0 ? 'whole rows' : `groups of ${size}`)).join(' and ');
  return `int4 by ${method} (${format}), ${groups}, ${symmetric ? 'symmetric' : 'with zero points'}`;
}
