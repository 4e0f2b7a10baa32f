import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ProgressFile, fingerprintOf, type Fingerprint } from '../progress/index.js';
import {
  defaultGaps,
  importanceOf,
  metricNamed,
  scoreSums,
  shardRows,
  type Importance,
  type ScoreState,
  type Shard,
  type ShardRecord,
} from '../drop/index.js';
import type { LoadedModel } from '../models/index.js';
import { countsExperts } from './chooseModules.js';
import { stageOf, type JobOptions } from './jobOptions.js';
import { streamingNote } from './streamingNote.js';
import { llmDropVersion } from './version.js';

interface ScoreRowsOptions extends JobOptions {
  readonly metric: string;
  readonly gaps?: readonly number[];
  readonly shard?: Shard;
  readonly maxMemory: number;
  readonly out?: string;
  readonly state?: string;
}

export interface ScoredRows {
  readonly importance: Importance;
  /** Of a shard: what a merge needs. */
  readonly record?: ShardRecord;
  /** To be called when the result is safe: what would continue the run goes. */
  finished(): Promise<void>;
}

/** Scores rows or one shard of them, loaded or streamed, from where an interrupted run left off. */
export async function scoreRows(
  model: LoadedModel,
  drawn: readonly Int32Array[],
  o: ScoreRowsOptions,
): Promise<ScoredRows> {
  const rows = o.shard ? shardRows(drawn, o.shard) : drawn;
  if (!model.isLoaded) o.onNote?.(streamingNote(model, o.maxMemory) + (o.gaps ? '' : singleBlocks));
  const gaps = o.gaps ?? defaultGaps(model);
  const settings = { metric: o.metric, gaps, ...countsExperts(model) };
  const version = llmDropVersion();
  const fingerprint = await fingerprintOf({ model, rows: { 'calibration tokens': drawn }, settings, version });
  const progress = await openProgress(o, model, fingerprint);
  const sums = await scoreSums(model, rows, {
    metric: metricNamed(o.metric),
    gaps,
    progress,
    maxMemory: o.maxMemory,
    onProgress: stageOf(o, 'scoring'),
    signal: o.signal,
  });
  return {
    importance: importanceOf(sums),
    record: o.shard && { shard: o.shard, fingerprint, sums },
    finished: async () => progress?.remove(),
  };
}

const singleBlocks = '; of windows, single blocks are scored (`gaps` for longer ones)';

/** The progress of a run with `out` or `state`; tells whether it continues one. */
async function openProgress(
  o: ScoreRowsOptions,
  model: LoadedModel,
  fingerprint: Fingerprint,
): Promise<ProgressFile<ScoreState> | undefined> {
  const path = progressPathOf(o);
  if (!path || (o.out && (await stat(o.out).catch(() => undefined))?.isFile() === false)) return undefined; // a pipe, say
  const progress = await ProgressFile.open<ScoreState>(path, {
    ...fingerprint,
    shard: partOf(o) ?? 'none',
    'whether weights are streamed': String(!model.isLoaded),
  });
  if (progress.changed) o.onNote?.(progress.changed);
  if (progress.previous) {
    const { layer, row } = progress.previous.next;
    o.onNote?.(`continuing from ${path}, at ${model.isLoaded ? '' : `layer ${layer}, `}row ${row}`);
  }
  return progress;
}

/** Where a scoring keeps its progress: in its own folder or beside the result; undefined where it keeps none. */
export const progressPathOf = (o: Pick<ScoreRowsOptions, 'out' | 'shard' | 'state'>): string | undefined => {
  const part = partOf(o);
  return o.state !== undefined
    ? join(o.state, `score${part ? `-${part}` : ''}.progress`)
    : o.out && `${o.out}.progress`;
};

const partOf = ({ shard }: Pick<ScoreRowsOptions, 'shard'>): string | undefined =>
  shard && `${shard.index}-of-${shard.count}`;
