import { stat } from 'node:fs/promises';
import type { MetricName, Search, SweepState } from '../drop/index.js';
import { UserError } from '../engine/index.js';
import { checkChecksum, fingerprintDifferences, type Checksum, type Fingerprint } from '../progress/index.js';
import { readJson } from './jsonFiles.js';
import type { Provenance } from './provenance.js';

/** What a sweep's file holds while it runs: all that is needed to go on. */
export interface SweepFile extends SweepState, Provenance, Checksum {
  readonly schema: 'llm-drop/sweep/1';
  /** The model's folder, as it was named. */
  readonly model: string;
  /** What the numbers depend on, without targets and counts: a sweep with more of those goes on in the same file. */
  readonly fingerprint: Fingerprint;
  readonly calibration: readonly string[];
  /** Rows that were chosen on, and tokens a row. */
  readonly samples: number;
  readonly length: number;
  /** Whether they are from all over the text; absent: they are its first ones. */
  readonly spread?: true;
  readonly metric: MetricName | null;
  readonly search: Search;
  readonly seed: number | null;
  readonly keepLayers: readonly number[];
}

/**
 * What a file holds of this sweep; undefined where there is none. A file of another one, or one that is not as it was
 * saved, is never written over.
 */
export async function earlierPoints(
  path: string,
  fingerprint: Fingerprint,
  { resume = false, onNote }: { readonly resume?: boolean; readonly onNote?: (note: string) => void },
): Promise<SweepState | undefined> {
  const there = await stat(path).catch(() => undefined);
  if (!there?.isFile()) {
    if (resume) throw new UserError(`${path} holds nothing to resume`);
    return undefined;
  }
  const hint = 'choose another `out`, or remove the file';
  const file = (await readJson(path).catch((cause: unknown) => {
    throw new UserError(`${path} is there and no sweep: it is not valid JSON`, { hint, cause });
  })) as Partial<SweepFile> | null;
  if (file?.schema !== 'llm-drop/sweep/1' || !file.fingerprint)
    throw new UserError(`${path} is there and no sweep`, { hint });
  checkChecksum(file, path, hint);
  const changed = fingerprintDifferences(file.fingerprint, fingerprint);
  if (changed.length)
    throw new UserError(`${path} is a sweep that differs from this one in ${changed.join(' and ')}`, { hint });
  const { whole, importance, steps = {}, points = [] } = file;
  onNote?.(`${path}: going on from ${points.length} points`);
  return { whole, importance, steps, points };
}
