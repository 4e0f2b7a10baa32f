import {
  parseQuantization,
  sliceInt4,
  tensorOfSource,
  withZeroPoints,
  zeroInt4,
  type JsonObject,
  type ModelSource,
  type Quantization,
  type TensorToWrite,
} from '../checkpoint/index.js';
import { sizeOf, type Int4Format, type Int4Source } from '../engine/index.js';
import { isLinear, moduleNames, type ModelDescription } from '../models/index.js';
import { quantizationConfig } from '../quant/index.js';
import { joinedPieces, type Piece } from './joinedWeights.js';
import { namedSources, type PlannedWeight } from './plannedWeights.js';

/** Weights as a quantized checkpoint stores them, and its `quantization_config`. */
export interface PackedTensors {
  readonly tensors: readonly TensorToWrite[];
  readonly config: JsonObject;
}

/** The groups of a weight: the engine's, and those of its tensors in the file. */
interface StoredFormat {
  readonly format: Int4Format;
  readonly groupSizes: readonly number[];
}

/**
 * The weights of an export in the format that they came in: integers are packed again, in groups as before, and stay
 * what they were; zeros that stand for a dropped module's are integers where the module's others are. Undefined where
 * none are integers in groups of the engine's.
 */
export async function packedTensors(
  weights: readonly PlannedWeight[],
  description: ModelDescription,
  checkpoint: ModelSource,
  quantization: Quantization,
): Promise<PackedTensors | undefined> {
  const { method: format, symmetric } = quantization;
  const asWritten = (int4: Int4Source | undefined): Int4Source | undefined =>
    int4 && !symmetric ? withZeroPoints(int4) : int4;
  const stored = await Promise.all(weights.map(async ({ int4 }) => int4?.()));
  const formats = weights.map(
    ({ tensors = [] }, i): StoredFormat | undefined =>
      stored[i] && {
        format: stored[i].format,
        groupSizes: tensors.map((tensor) => fileGroupSize(checkpoint, tensor, quantization)),
      },
  );
  const ofPath = new Map(weights.flatMap(({ spec }, i) => (formats[i] ? [[spec.path, formats[i]]] : [])));
  const mixed = await Promise.all(
    weights.map(async ({ tensors, parts }) => {
      const each = async (tensor: string): Promise<Int4Source | undefined> => checkpoint.int4(tensor)?.int4();
      return parts && (await Promise.all(tensors!.map(each)));
    }),
  );
  const separate = weights.flatMap((weight, i): Piece[] => {
    const { spec, source } = weight;
    const experts = mixed[i];
    if (experts)
      return namedSources(weight).map(({ name, source }, expert) => {
        const int4 = asWritten(experts[expert]);
        const groupSize = int4 && fileGroupSize(checkpoint, weight.tensors![expert], quantization);
        return { name, source, spec, groupSize, int4: int4 && { ...int4, name } };
      });
    const known = formats[i] ?? (weight.int4 ? undefined : ofPath.get(spec.path));
    const int4 = stored[i] ?? (known && zeroInt4(source.name, source.shape, known.format));
    const zeroed = asWritten(int4);
    return namedSources(weight).map(({ name, source }, expert) => {
      const rows = sizeOf(source.shape.slice(0, -1));
      const groupSize = known?.groupSizes[expert];
      return {
        name,
        source,
        spec,
        groupSize,
        int4: zeroed && sliceInt4(zeroed, expert * rows, (expert + 1) * rows, name),
      };
    });
  });
  const pieces = joinedPieces(separate);
  const names = moduleNames(description);
  const linear = pieces.filter(({ spec }) => isLinear(spec));
  const quantized = linear.flatMap(({ name, groupSize }) => (groupSize ? [[names.of(name), groupSize] as const] : []));
  if (!quantized.length) return undefined;
  const floats = linear.flatMap(({ name, groupSize }) => (groupSize ? [] : [names.of(name)]));
  const groupSizes = new Map(quantized);
  const [groupSize] = groupSizes.values();
  const config = quantizationConfig({
    format,
    groupSize,
    groupSizes: new Set(groupSizes.values()).size > 1 ? groupSizes : undefined,
    symmetric,
    names,
    kept: [...new Set([...(groupSizes.has(names.head) ? [] : [names.head]), ...floats])],
    quantized: [...groupSizes.keys()],
  });
  const { layout } = parseQuantization(config, format);
  const tensors = pieces.flatMap(({ name, source, int4, groupSize }) =>
    int4 && groupSize ? layout.write(int4, groupSize) : [tensorOfSource(source, name)],
  );
  return { tensors, config };
}

/** Weights along a row that share a scale in the file, -1 for all: where the config names several, those of the tensor. */
function fileGroupSize(checkpoint: ModelSource, tensor: string, { groupSizes }: Quantization): number {
  const { fileGroup } = checkpoint.int4(tensor)!;
  return groupSizes.length === 1 || !groupSizes.includes(fileGroup)
    ? (groupSizes.find((size) => size < 0) ?? groupSizes[0])
    : fileGroup;
}
