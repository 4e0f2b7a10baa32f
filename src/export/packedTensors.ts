import {
  parseQuantization,
  tensorOfSource,
  type JsonObject,
  type Quantization,
  type TensorToWrite,
} from '../checkpoint/index.js';
import { sizeOf, type Int4Source } from '../engine/index.js';
import { quantizationConfig } from '../quant/index.js';
import { sliceInt4, withZeroPoints, zeroInt4 } from './int4Views.js';
import { namedSources, type PlannedWeight } from './plannedWeights.js';

/** Weights as a quantized checkpoint stores them, and its `quantization_config`. */
export interface PackedTensors {
  readonly tensors: readonly TensorToWrite[];
  readonly config: JsonObject;
}

/**
 * The weights of an export in the format that they came in: integers are packed again, in groups as before, and stay
 * what they were; zeros that stand for a dropped module's are integers where the module's others are. Undefined where
 * the groups differ from module to module: then floats are all that the result can hold.
 */
export async function packedTensors(
  weights: readonly PlannedWeight[],
  { method: format, groupSizes, symmetric }: Quantization,
): Promise<PackedTensors | undefined> {
  if (groupSizes.length !== 1) return undefined;
  const [groupSize] = groupSizes;
  const stored = await Promise.all(weights.map(async ({ int4 }) => int4?.()));
  const formats = new Map(weights.flatMap(({ spec }, i) => (stored[i] ? [[spec.path, stored[i].format]] : [])));
  const asInt4 = ({ spec, source, int4 }: PlannedWeight, i: number): Int4Source | undefined => {
    const known = formats.get(spec.path);
    return stored[i] ?? (known && !int4 ? zeroInt4(source.name, source.shape, known) : undefined);
  };
  const pieces = weights.flatMap((weight, i) => {
    const int4 = asInt4(weight, i);
    const zeroed = int4 && !symmetric ? withZeroPoints(int4) : int4;
    return namedSources(weight).map(({ name, source }, expert) => {
      const rows = sizeOf(source.shape.slice(0, -1));
      return {
        name,
        source,
        spec: weight.spec,
        int4: zeroed && sliceInt4(zeroed, expert * rows, (expert + 1) * rows, name),
      };
    });
  });
  const modules = (kept: boolean): string[] =>
    pieces
      .filter(({ spec, int4 }) => !int4 === kept && (spec.use === 'linear' || spec.use === 'experts'))
      .map(({ name }) => name.replace(/\.weight$/, ''));
  const quantized = modules(false);
  if (!quantized.length) return undefined;
  const kept = [...new Set([...(quantized.includes('lm_head') ? [] : ['lm_head']), ...modules(true)])];
  const config = quantizationConfig({ format, groupSize, symmetric, kept, quantized });
  const { layout } = parseQuantization(config, format);
  const tensors = pieces.flatMap(({ name, source, int4 }) =>
    int4 ? layout.write(int4, groupSize) : [tensorOfSource(source, name)],
  );
  return { tensors, config };
}
