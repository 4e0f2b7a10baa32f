import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  fileError,
  formatJson,
  int4Methods,
  joinedInt4,
  joinedSource,
  parseQuantization,
  tensorOfSource,
  writeFolderAtomically,
  writeWeights,
  type Int4Layout,
  type Int4Method,
  type JsonObject,
  type ModelSource,
  type TensorToWrite,
} from '../checkpoint/index.js';
import type { Progress } from '../progress/index.js';
import {
  UserError,
  checkOptions,
  isInt4,
  oneOf,
  whole,
  type Int4Source,
  type Shape,
  type WeightSource,
} from '../engine/index.js';
import {
  allWeights,
  byTensor,
  isLinear,
  moduleNames,
  ownForm,
  ownNames,
  recordedDrops,
  stayingTensors,
  tensorPlaces,
  type ModuleNames,
  type Parameters,
  type OpenedModel,
  type WeightSpec,
} from '../models/index.js';
import { quantizationConfig, sideConfigs, type AlgorithmDetails } from './formatConfig.js';
import { separateExperts, separateInfo, separateNames } from './separateExperts.js';

export interface WriteQuantizedOptions {
  readonly format: Int4Method;
  /**
   * Weights along a row that share a scale in the file, -1 for a whole row. The sources' groups are these or parts of
   * them, with the same scale in each part.
   */
  readonly groupSize: number;
  readonly symmetric: boolean;
  /**
   * What takes the place of a tensor of the checkpoint: integers, which are packed; other floats, such as a norm that
   * AWQ scaled; or nothing, which leaves it as it is. Experts are asked for one by one, as `separateExperts` names them.
   */
  readonly replaced: (tensor: string, shape: Shape) => Int4Source | WeightSource | undefined;
  readonly algorithm?: AlgorithmDetails;
  /** JSON files to lay beside the weights, by their names. */
  readonly files?: Readonly<Record<string, unknown>>;
  /** Replace a model folder that is already there. */
  readonly overwrite?: boolean;
  readonly shardBytes?: number;
  readonly onProgress?: Progress;
}

/**
 * Writes a checkpoint with its linear layers in a 4-bit format of transformers and vLLM
 * (docs/formats.md, 'Weights of 4 bits in files'). What the config drops stays dropped. The folder appears whole or not
 * at all; what the format cannot hold is refused by name before anything is written.
 */
export async function writeQuantized(model: OpenedModel, out: string, o: WriteQuantizedOptions): Promise<void> {
  checkOptions(o, { format: oneOf(int4Methods), groupSize: oneOf([32, 64, 128, -1]), shardBytes: whole(1) });
  const { source: checkpoint } = model;
  const { quantization, tensors } = planned(model, o);
  const config = { ...checkpoint.config, ...typeKeys(checkpoint.config, o), quantization_config: quantization };
  await writeFolderAtomically(
    out,
    async (folder) => {
      await checkpoint.copyAlong('tokenizer', folder);
      await checkpoint.copyAlong('drops', folder); // which quantizing does not change
      await writeText(join(folder, 'config.json'), `${formatJson(config, checkpoint.config)}\n`);
      for (const [name, text] of Object.entries(sideConfigs(quantization))) await writeText(join(folder, name), text);
      for (const [name, value] of Object.entries(o.files ?? {}))
        await writeText(join(folder, name), `${JSON.stringify(value, null, 2)}\n`);
      await writeWeights(folder, tensors, {
        shardBytes: o.shardBytes,
        onProgress: ({ bytesDone, bytesTotal }) => o.onProgress?.(bytesDone, bytesTotal, 'bytes'),
      });
    },
    { overwrite: o.overwrite, reads: [checkpoint.folder] },
  );
}

type PlanOptions = Pick<WriteQuantizedOptions, 'algorithm' | 'format' | 'groupSize' | 'replaced' | 'symmetric'>;

/** Fails where `writeQuantized` would refuse these shapes, before hours of calibration: the integers are not read. */
export function checkQuantizable(model: OpenedModel, o: PlanOptions): void {
  planned(model, o);
}

function planned(model: OpenedModel, o: PlanOptions): { quantization: JsonObject; tensors: TensorToWrite[] } {
  const { source: checkpoint } = model;
  if (checkpoint.quantization)
    throw new UserError(`${checkpoint.folder} is quantized already (${checkpoint.quantization.method})`, {
      hint: 'quantize the model of floats that it was made from',
    });
  const packed = checkpoint.tensorNames().find((name) => checkpoint.int4(name));
  if (packed !== undefined)
    throw new UserError(`${checkpoint.folder} is quantized already: ${packed} is ${checkpoint.info(packed).dtype}`, {
      hint: 'quantize the model of floats that it was made from; llm-drop export --to hf makes floats of these integers',
    });
  const plan = planTensors(model, o);
  const quantization = quantizationConfig({ ...o, ...plan.modules });
  const { layout } = parseQuantization(quantization, o.format);
  return { quantization, tensors: plan.tensors.flatMap((tensor) => toWrite(tensor, layout, o)) };
}

interface PlannedTensor {
  readonly name: string;
  readonly shape: Shape;
  readonly replacement?: Int4Source | WeightSource;
  readonly asItIs: () => TensorToWrite;
}

interface Plan {
  readonly tensors: readonly PlannedTensor[];
  readonly modules: {
    readonly names: ModuleNames;
    readonly kept: readonly string[];
    readonly quantized: readonly string[];
  };
}

/** Every tensor that stays in the model, and which of its linear modules become integers. */
function planTensors(
  { source: checkpoint, config, description }: OpenedModel,
  { format, symmetric, replaced }: PlanOptions,
): Plan {
  const drops = recordedDrops(config);
  const staying = stayingTensors(description, drops, checkpoint.tensorNames());
  const weights = allWeights(description);
  const places = tensorPlaces(weights);
  const separate = separateExperts(checkpoint, weights);
  const tensors = separateNames(weights, staying).map((name): PlannedTensor => {
    const { shape } = separateInfo(checkpoint, separate, name);
    const asItIs = (): TensorToWrite =>
      checkpoint.has(name) ? checkpoint.stored(name)[0] : tensorOfSource(separate.source(name), name);
    return { name, shape, replacement: replaced(name, shape), asItIs };
  });
  const joined = byTensor(tensors, ({ name }) => ownTensor(places.get(name)?.weight)).map(({ tensor, items }) =>
    tensor === undefined ? items[0] : joinedTensor(tensor, items, checkpoint, separate),
  );
  const names = moduleNames(description);
  const kept = new Set([names.head]);
  const quantized: string[] = [];
  for (const { name, replacement } of joined) {
    const spec = places.get(name)?.weight;
    if (replacement && isInt4(replacement)) {
      checkPlace(name, format, spec);
      checkZeros(replacement, format, symmetric);
      quantized.push(names.of(name));
    } else if (spec && isLinear(spec)) kept.add(names.of(name));
  }
  if (!quantized.length)
    throw new UserError(`nothing of ${checkpoint.folder} is quantized, so there is nothing to write`);
  return {
    tensors: joined,
    modules: { names, kept: [...kept].filter((name) => !quantized.includes(name)), quantized },
  };
}

/** The tensor in which the family's own files hold a weight with others. */
const ownTensor = (weight: WeightSpec | undefined): string | undefined =>
  weight && ownForm(weight) && ownNames(weight)[0];

/** Weights that lie one above the other in a tensor of the family's files. */
function joinedTensor(
  name: string,
  items: readonly PlannedTensor[],
  checkpoint: ModelSource,
  separate: Parameters,
): PlannedTensor {
  const shape = [items.reduce((sum, item) => sum + item.shape[0], 0), ...items[0].shape.slice(1)];
  const int4 = items.flatMap(({ replacement }) => (replacement && isInt4(replacement) ? [replacement] : []));
  const floats = (): WeightSource =>
    joinedSource(
      items.map((item) => separate.source(item.name)),
      name,
    );
  return {
    name,
    shape,
    replacement: int4.length === items.length ? joinedInt4(int4, name) : undefined,
    asItIs: () => (checkpoint.has(name) ? checkpoint.stored(name)[0] : tensorOfSource(floats(), name)),
  };
}

function checkPlace(name: string, format: Int4Method, spec: WeightSpec | undefined): void {
  if (spec && isLinear(spec)) return;
  const tied = spec?.use === 'both' ? ', which is also the head here' : '';
  throw new UserError(`${format} holds linear layers only, not ${name}${tied}`, {
    hint: spec?.use === 'both' ? 'leave the head as it is' : undefined,
  });
}

/** AWQ's layout always has zero points; the others' configs say for the whole model whether there are any. */
function checkZeros({ name, format: { zeroPoints } }: Int4Source, format: Int4Method, symmetric: boolean): void {
  if (zeroPoints === symmetric && (symmetric || format !== 'awq'))
    throw new UserError(
      `${name} has ${zeroPoints ? '' : 'no '}zero points, but the model is to be written as ${symmetric ? 'symmetric' : 'asymmetric'}`,
    );
}

function toWrite(
  { name, shape, replacement, asItIs }: PlannedTensor,
  layout: Int4Layout,
  { groupSize }: PlanOptions,
): TensorToWrite[] {
  if (!replacement) return [asItIs()];
  if (replacement.shape.join() !== shape.join())
    throw new UserError(
      `${name} is [${shape.join(',')}], but what is to replace it is [${replacement.shape.join(',')}]`,
    );
  if (!isInt4(replacement)) return [tensorOfSource(replacement, name)];
  const { dtype, format } = replacement;
  const readInt4: Int4Source['readInt4'] = (start, end) => replacement.readInt4(start, end);
  return layout.write({ name, shape, dtype, format, readInt4 }, groupSize);
}

/** AWQ's kernels compute in float16, and its readers take the type from here. */
function typeKeys(config: JsonObject, { format }: WriteQuantizedOptions): JsonObject {
  if (format !== 'awq') return {};
  return 'dtype' in config ? { dtype: 'float16' } : { torch_dtype: 'float16' };
}

async function writeText(path: string, text: string): Promise<void> {
  await writeFile(path, text).catch((error: unknown) => {
    throw fileError(error, 'cannot write', path);
  });
}
