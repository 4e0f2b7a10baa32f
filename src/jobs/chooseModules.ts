import { fingerprintOf, type Fingerprint } from '../progress/index.js';
import {
  chooseDrops,
  chooseWithoutText,
  needsText,
  type Choice,
  type DropMethod,
  type GreedyStep,
  type MetricName,
  type ScoreOptions,
  type ScoreState,
} from '../drop/index.js';
import { fitsMemory, hasExperts, type MemoryLimit, type Model } from '../models/index.js';
import { stageOf, type JobOptions } from './jobOptions.js';
import { loadWeights } from './losses.js';
import type { Resume } from './resume.js';
import { llmDropVersion } from './version.js';

export interface ChooseModulesOptions extends JobOptions {
  readonly resume: Resume;
  /** Where not all weights fit, one round of scores streams them. @defaultValue all are loaded */
  readonly memory?: MemoryLimit;
}

/** Chooses by any method. One round of scores, and a greedy search, go on where they were interrupted. */
export async function chooseModules(
  model: Model,
  method: DropMethod,
  rows: readonly Int32Array[],
  o: ChooseModulesOptions,
): Promise<Choice> {
  if (!needsText(method)) return chooseWithoutText(model, method);
  const scoresOnce = method.search === 'score' && method.iterations === 1;
  const streams = scoresOnce && o.memory !== undefined && !fitsMemory(model, o.memory);
  if (!model.isLoaded && !streams) await loadWeights(model, o);
  if (scoresOnce) return chooseDrops(model, rows, method, await oneScoring(model, method.metric, rows, o));
  if (method.search !== 'score') return search(model, method, rows, o);
  return chooseDrops(model, rows, method, { onProgress: stageOf(o, 'scoring'), signal: o.signal });
}

/** How one round of scores is made, from where an interrupted run left off. */
export async function oneScoring(
  model: Model,
  metric: MetricName | null,
  rows: readonly Int32Array[],
  o: ChooseModulesOptions,
): Promise<Pick<ScoreOptions, 'maxMemory' | 'onProgress' | 'progress' | 'signal'>> {
  const inputs = (): Promise<Fingerprint> => inputsOf(model, rows, { metric, ...countsExperts(model) });
  const way = { 'whether weights are streamed': String(!model.isLoaded) };
  const progress = await o.resume.open<ScoreState>('score', inputs, way);
  if (progress?.previous) o.onNote?.(`continuing a scoring at row ${progress.previous.next.row}`);
  return { progress, maxMemory: o.memory?.bytes, onProgress: stageOf(o, 'scoring'), signal: o.signal };
}

/** Of fingerprints: sums that were made before experts were counted are others. */
export const countsExperts = ({ description }: Pick<Model, 'description'>): { readonly experts?: string } =>
  hasExperts(description) ? { experts: 'counted' } : {};

/** A killed search continues behind the steps that it has made. */
async function search(
  model: Model,
  method: DropMethod,
  rows: readonly Int32Array[],
  o: ChooseModulesOptions,
): Promise<Choice> {
  // Without the count: a search for more modules begins with the steps of a search for fewer.
  const settings = { search: method.search, target: method.target, keep: method.keep };
  const progress = await o.resume.open<GreedyStep[]>('search', () => inputsOf(model, rows, settings));
  const steps = [...(progress?.previous ?? [])];
  if (steps.length) o.onNote?.(`continuing a search behind ${steps.length} of ${method.count} steps`);
  return chooseDrops(model, rows, method, {
    done: progress?.previous,
    onStep: async (step) => {
      steps.push(step);
      await progress?.save(steps);
    },
    onProgress: stageOf(o, 'searching'),
    signal: o.signal,
  });
}

const inputsOf = (
  model: Model,
  rows: readonly Int32Array[],
  settings: Readonly<Record<string, unknown>>,
): Promise<Fingerprint> =>
  fingerprintOf({ model, rows: { 'calibration tokens': rows }, settings, version: llmDropVersion() });
