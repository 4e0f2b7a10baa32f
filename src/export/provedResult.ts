import { Model, type Drops, type Parameters } from '../models/index.js';
import type { ModelSource } from '../checkpoint/index.js';
import type { ExportFormat } from './exportOptions.js';
import type { ExportJob, Written } from './exportJob.js';
import type { CardFacts } from './modelCard.js';
import { proveRun, type Proof } from './proof.js';

export interface ExportResult {
  readonly to: ExportFormat;
  readonly out: string;
  /** Names of the files written, and the sum of their bytes. */
  readonly files: readonly string[];
  readonly bytes: number;
  /** `as stored`, or the type asked for. */
  readonly type: string;
  /** Name of the architecture in the program that reads the result. */
  readonly architecture: string;
  /** Original numbers of the layers that the result has. */
  readonly layers: readonly number[];
  readonly drop: Drops;
  readonly zero: boolean;
  readonly proof: Proof;
  readonly notes: readonly string[];
}

/** The largest relative difference of logits between a model and its copy with the same weights: only the order of sums may differ. */
const sameWeights = 1e-4;

/** Runs the source and `result`, a model of what was written of it. Both are disposed. */
export async function provedResult(
  job: ExportJob,
  written: Written,
  result: Model,
): Promise<Omit<ExportResult, 'files' | 'bytes'>> {
  const { source: stored, description } = job.model;
  const source = new Model(job.engine, description, written.packed ? stored : floatsOf(stored));
  source.skip(job.drops);
  const proof = await proveRun(source, result, {
    relative: written.exact ? sameWeights : undefined,
    onProgress: job.options.onProgress,
  });
  const { to, out, type, zero } = job.options;
  return {
    to,
    out,
    type: type ?? 'as stored',
    architecture: written.architecture,
    layers: written.plan.layers.map(({ original }) => original),
    drop: job.drops,
    zero: zero ?? false,
    proof,
    notes: written.notes,
  };
}

/** What a model card tells of a result. */
export const cardFacts = (
  { notes, ...result }: Omit<ExportResult, 'files' | 'bytes'>,
  { remoteCode = false }: Written,
): CardFacts => ({
  to: result.to,
  out: result.out,
  type: result.type,
  architecture: result.architecture,
  zero: result.zero,
  drops: result.drop,
  layers: result.layers,
  notes,
  proof: result.proof,
  remoteCode,
});

/** A source whose integers count as the floats that they stand for. */
const floatsOf = (source: ModelSource): Parameters => ({
  folder: source.folder,
  has: (name) => source.has(name),
  source: (name) => source.source(name),
});
