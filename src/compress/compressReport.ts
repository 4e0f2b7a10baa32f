import type { ExpertReport } from '../drop/index.js';
import { pairedDifference } from '../evaluate/index.js';
import type { ExportResult } from '../export/index.js';
import type { Drops } from '../models/index.js';
import type { Recipe } from './recipe.js';
import type { StageName, StageState } from './stage.js';

/** `compress_report.json`: what each stage made of the model. */
export interface CompressReport {
  readonly schema: 'llm-drop/compress-report/1';
  /** The name of the model's folder. */
  readonly model: string;
  /** What is dropped in the end, by original layer. */
  readonly drop: Drops;
  /** Where experts were dropped. */
  readonly experts?: ExpertReport;
  /** `whole` first, then the stages in their order. */
  readonly stages: readonly StageReport[];
  /** `out` is relative to the result's folder. */
  readonly exports: readonly Pick<ExportResult, 'architecture' | 'bytes' | 'out' | 'proof' | 'to' | 'type' | 'zero'>[];
  readonly notes: readonly string[];
  readonly versions: NonNullable<Recipe['versions']>;
}

export interface StageReport {
  readonly stage: StageName;
  readonly parameters: number;
  /** Bytes of the weights, and bits for each parameter. Headers of files do not count. */
  readonly bytes: number;
  readonly bitsPerWeight: number;
  /** On held-out rows, in nats a token; null where it was not measured. */
  readonly loss: number | null;
  readonly rows: number;
  /** Loss less that of the stage before, by row; the standard error is null for one row. */
  readonly difference: number | null;
  readonly standardError: number | null;
}

export function compressReport(
  model: string,
  versions: NonNullable<Recipe['versions']>,
  models: readonly StageState[],
  exports: readonly StageState[],
  notes: readonly string[],
): CompressReport {
  return {
    schema: 'llm-drop/compress-report/1',
    model,
    drop: models.at(-1)!.drops,
    experts: models.find(({ experts }) => experts)?.experts,
    stages: models.map((state, i) => stageReport(state, models[i - 1])),
    exports: exports.map(({ exported }) => {
      const { architecture, bytes, out, proof, to, type, zero } = exported!;
      return { to, type, zero, out, architecture, bytes, proof };
    }),
    notes: [...new Set([...notes, ...[...models, ...exports].flatMap((state) => state.notes)])],
    versions,
  };
}

function stageReport({ stage, size, loss }: StageState, before: StageState | undefined): StageReport {
  const { parameters, bytes } = size;
  const paired = before?.loss && loss ? pairedDifference(before.loss, loss) : { difference: null, standardError: null };
  return {
    stage,
    parameters,
    bytes,
    bitsPerWeight: (8 * bytes) / parameters,
    loss: loss?.loss ?? null,
    rows: loss?.rowLosses.length ?? 0,
    ...paired,
  };
}
