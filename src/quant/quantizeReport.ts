import type { ModelSource } from '../checkpoint/index.js';
import { groupsOf, isInt4, sizeOf } from '../engine/index.js';
import { pairedDifference, type LossResult } from '../evaluate/index.js';
import { allWeights, stayingTensors, type Drops, type ModelDescription } from '../models/index.js';
import type { CalibrationRecord } from '../text/index.js';
import type { GroupOptions } from './groupQuantizer.js';
import type { ProjectionResult } from './projections.js';
import type { QuantizeMethod } from './quantizeModel.js';
import type { Replacement } from './quantizedTensors.js';
import { separateExperts, separateInfo, separateNames } from './separateExperts.js';

/** Lies in the folder of a quantized model. */
export const quantizeRecordFile = 'quantize_report.json';

/** The loss on rows of one text that calibration has not seen. */
export interface QuantizeLoss {
  readonly name: string;
  readonly rows: number;
  readonly before: number;
  readonly after: number;
  /** Mean over the rows of after - before, and its standard error (null for one row). */
  readonly difference: number;
  readonly standardError: number | null;
  /** By row: with another report's of the same rows, two ways of quantizing can be compared row by row. */
  readonly rowLosses: readonly number[];
}

export interface QuantizedSize {
  /** Bits of an int4 weight, its share of scales and zero points included. */
  readonly bitsPerWeight: number;
  /** Bytes of all weights that stay in the model. */
  readonly bytes: { readonly before: number; readonly after: number };
  /** How many weights became integers, and how many there are. */
  readonly weights: { readonly int4: number; readonly all: number };
}

/** `quantize_report.json` */
export interface QuantizeRecord extends QuantizedSize {
  readonly schema: 'llm-drop/quantize-report/1';
  readonly version: string;
  /** ISO 8601. */
  readonly date: string;
  readonly model: string;
  readonly method: QuantizeMethod;
  readonly format: string;
  readonly groupSize: number;
  readonly symmetric: boolean;
  readonly clip: 'none' | 'search';
  /** Null where the method looks at no text. */
  readonly calibration: CalibrationRecord | null;
  /** What the model had dropped. */
  readonly drop: Drops;
  readonly losses: readonly QuantizeLoss[];
  readonly projections: readonly ProjectionResult[];
  readonly warnings: readonly string[];
  /** What was merged into the weights before, in a sentence. */
  readonly merged?: string;
  readonly versions: Readonly<Record<string, string>>;
}

export const quantizeLoss = (name: string, before: LossResult, after: LossResult): QuantizeLoss => ({
  name,
  rows: after.rowLosses.length,
  before: before.loss,
  after: after.loss,
  ...pairedDifference(before, after),
  rowLosses: after.rowLosses,
});

/** What a checkpoint's weights take as they are, and with some replaced; headers and what formats add are left out. */
export function quantizedSize(
  checkpoint: ModelSource,
  description: ModelDescription,
  drops: Drops,
  replaced: (tensor: string) => Replacement | undefined,
  { groupSize, symmetric }: GroupOptions,
): QuantizedSize {
  const total = { before: 0, after: 0, int4Bytes: 0, int4: 0, all: 0 };
  const weights = allWeights(description);
  const separate = separateExperts(checkpoint, weights);
  for (const name of separateNames(weights, stayingTensors(description, drops, checkpoint.tensorNames()))) {
    const { shape, bytes } = separateInfo(checkpoint, separate, name);
    const count = sizeOf(shape);
    const replacement = replaced(name);
    const width = shape[shape.length - 1];
    total.before += bytes;
    total.all += count;
    if (!replacement || !isInt4(replacement)) {
      total.after += bytes;
      continue;
    }
    const groups = (count / width) * (groupSize === -1 ? 1 : groupsOf(width, replacement.format));
    const after = Math.ceil((4 * count + groups * (symmetric ? 16 : 20)) / 8);
    total.after += after;
    total.int4Bytes += after;
    total.int4 += count;
  }
  return {
    bitsPerWeight: total.int4 === 0 ? 0 : (8 * total.int4Bytes) / total.int4,
    bytes: { before: total.before, after: total.after },
    weights: { int4: total.int4, all: total.all },
  };
}
