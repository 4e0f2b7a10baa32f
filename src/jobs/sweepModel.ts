import {
  dropMethod,
  parseBudgets,
  sweep,
  type Budget,
  type DropMethod,
  type SweepMethod,
  type SweepResult,
  type SweepState,
  type Target,
} from '../drop/index.js';
import { claimOutputs } from '../checkpoint/index.js';
import { UserError } from '../engine/index.js';
import type { LoadOptions, LoadedModel } from '../models/index.js';
import { fingerprintOf, withChecksum, type Fingerprint } from '../progress/index.js';
import { sweepRows, type SweepRows } from '../text/index.js';
import { checkJob, stageOf, type JobOptions } from './jobOptions.js';
import { writeJson } from './jsonFiles.js';
import { provenance } from './provenance.js';
import { chooseWithin, type SweepChoice } from './sweepChoice.js';
import { earlierPoints, type SweepFile } from './sweepFile.js';
import { loadTextModel } from './textModel.js';
import { llmDropVersion } from './version.js';
import { rowsOfText, type RowOptions } from './textRows.js';

/** How to choose is said as for `dropModules`. */
export interface SweepModelOptions
  extends JobOptions, Omit<LoadOptions, 'onProgress' | 'memory' | 'drops'>, RowOptions, SweepMethod {
  /** What to drop. @defaultValue attention, mlp, block and joint */
  readonly targets?: readonly Target[];
  /** How many of each target. @defaultValue 1, 2, 4 and 8 */
  readonly counts?: readonly number[];
  /** Text to choose on: .txt files, .jsonl files, or folders of them, of which one row is taken in turn. */
  readonly calibration: readonly string[];
  /** Texts to measure on, each for itself; rows that were chosen on are left out. @defaultValue the calibration text, behind its rows */
  readonly texts?: readonly string[];
  /** Rows of each of `texts` to pass over, to measure other methods on the same ones. @defaultValue 0 */
  readonly skipRows?: number;
  /** Runs of 16 decoded tokens for each point and the whole model, in turns; 0 measures no speed. @defaultValue 5 */
  readonly speedRounds?: number;
  /** Chooses the point that fits and loses least, as `parseBudgets` reads it: `decode=0.8,kv=0.5`. @defaultValue no point is chosen */
  readonly budget?: string;
  /** A file for the result as JSON: saved after each point, and gone on from. @defaultValue none is written */
  readonly out?: string;
  /** Fail unless `out` holds the beginning of this sweep. @defaultValue false */
  readonly resume?: boolean;
}

/** The curve, what it was made from and, within a budget, its best point. */
export interface SweepRecord extends SweepFile {
  readonly whole: SweepResult['whole'];
  readonly notes: readonly string[];
  /** Of a budget; null where nothing fits. */
  readonly choice?: SweepChoice | null;
}

/**
 * Measures what dropping costs and saves for each target and count: loss, divergence and agreement on rows that the choice
 * has not seen, sizes, and decoding speed. Goes on where an interrupted run with the same `out` left off, also with more
 * targets and counts. UserError for options that do not go together, and for an `out` that holds something else.
 */
export async function sweepModel(folder: string, o: SweepModelOptions): Promise<SweepRecord> {
  checkJob(o);
  const { targets = ['attention', 'mlp', 'block', 'joint'], counts = [1, 2, 4, 8], speedRounds = 5, out } = o;
  // Checked before anything is loaded; what does not depend on the target is the same for all.
  const { metric, search, seed, keep } = o;
  const given: SweepMethod = { metric, search, seed, keep };
  const [method] = targets.map((target) => dropMethod({ ...given, target, count: Math.max(...counts) }));
  const budgets = checkedBudgets(o, speedRounds);
  await using _claim = await claimOutputs({
    reads: [folder, o.adapter, ...o.calibration, ...(o.texts ?? [])],
    writes: out === undefined ? [] : [{ path: out, kind: 'file', overwrite: true }],
  });
  await using loaded = await loadTextModel(folder, { ...o, drops: undefined, memory: undefined });
  const { model } = loaded;
  const { texts, skipRows } = o;
  const rows = await rowsOfText(loaded.tokenizer, model.config, o, (tokenizer, options) =>
    sweepRows(tokenizer, o.calibration, { ...options, texts, skipRows }),
  );
  for (const note of rows.notes) o.onNote?.(note);
  const fingerprint = await fingerprintFor(model, rows, method, speedRounds);
  const facts: Omit<SweepFile, keyof SweepState | 'checksum'> = {
    schema: 'llm-drop/sweep/1',
    model: folder,
    ...provenance(model),
    fingerprint,
    calibration: o.calibration,
    samples: rows.calibration.length,
    length: rows.length,
    ...(o.spread && { spread: true }),
    ...chosenBy(method),
  };
  const result = await sweep(model, rows, {
    ...given,
    ...{ targets, counts, speed: speedRounds > 0, speedRounds },
    done: out === undefined ? undefined : await earlierPoints(out, fingerprint, o),
    onChange: async (state) => {
      if (out !== undefined) await writeJson(out, withChecksum({ ...facts, ...state }) satisfies SweepFile);
    },
    stage: (name) => stageOf(o, name),
    signal: o.signal,
  });
  const record: SweepRecord = withChecksum({
    ...facts,
    ...result,
    notes: rows.notes,
    ...(budgets && { choice: chooseWithin(result, budgets, folder, o.adapter) }),
  });
  if (out !== undefined) await writeJson(out, record);
  return record;
}

function checkedBudgets(o: SweepModelOptions, speedRounds: number): Budget[] | undefined {
  const budgets = o.budget === undefined ? undefined : parseBudgets(o.budget);
  if (budgets?.some(({ kind }) => kind === 'decode') && speedRounds === 0)
    throw new UserError('`budget` decode needs speeds, so `speedRounds` 0 does not go with it');
  if (o.resume && o.out === undefined) throw new UserError('`resume` goes on from a file, so it needs `out`');
  if (o.skipRows !== undefined && !o.texts)
    throw new UserError('`skipRows` passes over rows of a `texts`, so it needs one');
  return budgets;
}

/** What of a method is the same for all targets and counts, as the file has it. */
const chosenBy = ({ metric, search, seed, keep }: DropMethod) => ({
  metric,
  search,
  seed,
  keepLayers: [...keep].sort((a, b) => a - b),
});

const fingerprintFor = (
  model: LoadedModel,
  rows: SweepRows,
  method: DropMethod,
  speedRounds: number,
): Promise<Fingerprint> =>
  fingerprintOf({
    model,
    rows: {
      'calibration rows': rows.calibration,
      ...Object.fromEntries(rows.heldOut.map((held) => [`rows of ${held.name}`, held.rows])),
    },
    settings: { ...chosenBy(method), 'speed rounds': speedRounds },
    version: llmDropVersion(),
  });
