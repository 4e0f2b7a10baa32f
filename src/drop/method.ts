import { UserError, checkOptions, flag, list, oneOf, whole, type Options } from '../engine/index.js';
import { seedOption, type Drops, type Model } from '../models/index.js';
import type { Progress } from '../progress/index.js';
import { selectWindow } from './consecutive.js';
import { blankImportance, gateNormImportance, type GateSource } from './gateNorm.js';
import { searchGreedily, type GreedyOptions, type GreedyStep, type SearchObjective } from './greedy.js';
import { withoutDropped, type Importance } from './importance.js';
import { dropIteratively, type IterativeResult } from './iterative.js';
import { metricNamed } from './metric.js';
import { scoreImportance, type ScoreOptions } from './scoreImportance.js';
import { randomSelector, selectDrops, targets, type Target } from './select.js';
import { mergeDrops } from './writeDropped.js';

/** What scores are made of: three similarities over text, Gate-Norm from the weights, and chance as the control. */
export type MetricName = 'cosine' | 'angular' | 'relative-norm' | 'gate-norm' | 'random';
export const metricNames: readonly MetricName[] = ['cosine', 'angular', 'relative-norm', 'gate-norm', 'random'];

/** By scores at once, or a module at a time by what its absence does to the whole model. */
export type Search = 'score' | 'greedy-loss' | 'greedy-kl';
export const searches: readonly Search[] = ['score', 'greedy-loss', 'greedy-kl'];

/** What a drop is asked to do; what is left out has its default. */
export interface MethodRequest {
  readonly target: Target;
  readonly count: number;
  readonly metric?: MetricName;
  readonly search?: Search;
  readonly iterations?: number;
  readonly consecutive?: boolean;
  readonly compat?: 'llm-drop';
  readonly seed?: number;
  readonly keep?: readonly number[];
}

/** How modules are chosen, complete and consistent. */
export interface DropMethod {
  readonly target: Target;
  /** Modules, or blocks, in all. */
  readonly count: number;
  /** null where a search measures the model itself. */
  readonly metric: MetricName | null;
  readonly search: Search;
  /** Rounds of scoring. */
  readonly iterations: number;
  /** One window of blocks. */
  readonly consecutive: boolean;
  readonly compat: 'llm-drop' | null;
  /** Seed of random choices; null for all others. */
  readonly seed: number | null;
  readonly keep: readonly number[];
}

/** What these may be. */
export const methodOptions: Options<MethodRequest> = {
  target: oneOf(targets),
  count: whole(0),
  metric: oneOf(metricNames),
  search: oneOf(searches),
  iterations: whole(1),
  consecutive: flag,
  compat: oneOf(['llm-drop']),
  seed: seedOption,
  keep: list(whole(0)),
};

/** Fills in the defaults, and refuses in one sentence what makes no sense together. */
export function dropMethod(request: MethodRequest): DropMethod {
  checkOptions(request, methodOptions);
  const { target, count, metric, search = 'score', iterations = 1, consecutive = false, compat, seed, keep } = request;
  const refuse = (problem: string, hint?: string): never => {
    throw new UserError(problem, { hint });
  };
  const greedy = search !== 'score';
  const textFree = metric === 'gate-norm' || metric === 'random';
  if (consecutive && target !== 'block')
    refuse(`\`consecutive\` chooses a window of whole blocks, so it needs \`target\` block, not ${target}`);
  if (compat && !consecutive)
    refuse('`compat` llm-drop is about windows of blocks, so it goes with `consecutive` only');
  if (greedy && metric) refuse(`\`search\` ${search} measures the model itself, so \`metric\` does not go with it`);
  if (greedy && consecutive) refuse(`\`consecutive\` chooses by scores, so \`search\` ${search} does not go with it`);
  if (greedy && iterations > 1)
    refuse(`\`search\` ${search} looks again after every module, so \`iterations\` does not go with it`);
  if (metric === 'gate-norm' && target !== 'attention')
    refuse(`\`metric\` gate-norm scores attentions only, so it needs \`target\` attention, not ${target}`);
  if (textFree && consecutive)
    refuse(`\`consecutive\` compares what enters and leaves a window, which \`metric\` ${metric} does not`);
  if (textFree && iterations > 1)
    refuse(
      `\`metric\` ${metric} does not depend on what was dropped before, so more \`iterations\` than one change nothing`,
    );
  if (consecutive && iterations > 1) refuse('`consecutive` drops one window, so `iterations` does not go with it');
  if (seed !== undefined && metric !== 'random') refuse('`seed` is of random choices, so it needs `metric` random');
  if (iterations > Math.max(count, 1))
    refuse(`\`iterations\` ${iterations} cannot drop ${count}: choose at most one round for each`);
  return {
    target,
    count,
    metric: greedy ? null : (metric ?? 'cosine'),
    search,
    iterations,
    consecutive,
    compat: compat ?? null,
    seed: metric === 'random' ? (seed ?? 0) : null,
    keep: keep ?? [],
  };
}

/** Whether a method looks at text: Gate-Norm looks at weights, chance at nothing. */
export const needsText = ({ metric, search }: Pick<DropMethod, 'metric' | 'search'>): boolean =>
  search !== 'score' || (metric !== 'gate-norm' && metric !== 'random');

export const objectiveOf = (search: Exclude<Search, 'score'>): SearchObjective =>
  search === 'greedy-loss' ? 'loss' : 'kl';

/** What was chosen, and why. */
export interface Choice {
  /** Everything that is dropped in the end, also what was dropped before. */
  readonly drops: Drops;
  /** The scores that decided; undefined for searches and random choices. */
  readonly importance?: Importance;
  /** The rounds, where there were several. */
  readonly rounds?: IterativeResult['rounds'];
  /** The steps of a greedy search. */
  readonly steps?: readonly GreedyStep[];
}

/** `progress` and `maxMemory` are of one round of scores, `done` and `onStep` of a greedy search. */
export interface ChooseOptions
  extends Pick<GreedyOptions, 'done' | 'onStep'>, Pick<ScoreOptions, 'maxMemory' | 'progress'> {
  readonly onProgress?: Progress;
  readonly signal?: AbortSignal;
}

/** Chooses by any method. The skip flags are restored. */
export async function chooseDrops(
  model: Model,
  rows: readonly Int32Array[],
  method: DropMethod,
  options: ChooseOptions = {},
): Promise<Choice> {
  const { search, iterations } = method;
  const { progress, ...shared } = options;
  if (!needsText(method)) return chooseWithoutText(model, method);
  const now = model.drops;
  try {
    if (search !== 'score')
      return await searchGreedily(model, rows, { ...method, ...shared, objective: objectiveOf(search) });
    const metric = metricNamed(method.metric);
    if (iterations > 1) return await dropIteratively(model, rows, { ...method, ...shared, metric });
    const importance = await scoreImportance(model, rows, { ...shared, progress, metric });
    return chooseByScores(importance, method, now);
  } finally {
    model.setDrops(now);
  }
}

/** Chooses by a method that looks at no text; the model need not be loaded. */
export async function chooseWithoutText(model: GateSource, method: DropMethod): Promise<Choice> {
  const importance = await scoresWithoutText(model, method.metric);
  const choice = chooseByScores(importance, method, model.drops);
  return method.metric === 'random' ? { drops: choice.drops } : choice;
}

/** Gate-Norm's scores. For random choices, the same score for every module: only which modules exist matters. */
export const scoresWithoutText = async (model: GateSource, metric: MetricName | null): Promise<Importance> =>
  metric === 'gate-norm' ? gateNormImportance(model) : blankImportance('random', model.description.layers.length, 0);

/** Chooses by given scores. Modules that were dropped before cannot be chosen, and are part of the result. */
export function chooseByScores(importance: Importance, method: DropMethod, earlier: Drops): Choice {
  const { target, count, keep, seed } = method;
  const open = withoutDropped(importance, earlier);
  const drops = method.consecutive
    ? selectWindow(open, count, { keep, compat: method.compat !== null })
    : selectDrops(open, target, count, { keep, selector: seed === null ? undefined : randomSelector(seed) });
  return { drops: mergeDrops(earlier, drops), importance };
}
