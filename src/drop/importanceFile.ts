import { UserError, nearest, shownValue } from '../engine/index.js';
import { moduleKinds, moduleWord, type Drops } from '../models/index.js';
import { checkChecksum, type Checksum, type Fingerprint } from '../progress/index.js';
import type { ExpertWork } from './expertMetric.js';
import type { ExpertWorks, Importance, Scores } from './importance.js';
import type { ShardSums } from './mergeShards.js';
import { sumsLength, type ScoreSums } from './scoreSums.js';

const similarities = ['attention', 'mlp', 'block', 'attentionBare', 'mlpBare'] as const;

/** What is read of scores; the rest of their record is for people. */
const scoreKeys = [
  ...['metric', 'samples', 'length', 'tokens', 'similarity', 'blockConsecutive', 'experts', 'drawnFrom', 'spread'],
];
const shardKeys = ['shard', 'fingerprint', 'sums'];

/** Fails where a key that is not there has one in its place that looks like it. */
function refuseMistyped(
  object: Readonly<Record<string, unknown>>,
  known: readonly string[],
  fail: (problem: string, hint: string) => never,
): void {
  const missing = known.filter((key) => !(key in object));
  for (const key of Object.keys(object)) {
    const meant = known.includes(key) ? undefined : nearest(key, missing);
    if (meant !== undefined) fail(`holds the key ${shownValue(key)}, which is not known`, `did you mean ${meant}?`);
  }
}

/** Scores as JSON holds them, of a model of `layers` layers. UserError where they are of another form or another model. */
export function parseImportance(value: unknown, layers: number, where: string): Importance {
  const fail = (problem: string, hint = 'scores are written by scoreImportance, or by llm-drop score --out'): never => {
    throw new UserError(`${where} ${problem}`, { hint });
  };
  const object = (part: unknown, name: string): Record<string, unknown> =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? (part as Record<string, unknown>)
      : fail(`holds no object ${name}`);
  const count = (key: string): number => {
    const number = all[key];
    return typeof number === 'number' && Number.isInteger(number) && number >= least
      ? number
      : fail(`holds no whole number '${key}'`);
  };
  const scores = (part: unknown, name: string): Scores => {
    if (!Array.isArray(part)) return fail(`holds no list '${name}'`);
    if (part.length !== layers)
      throw new UserError(`${where} scores ${part.length} layers, but the model has ${layers}`);
    const bad = part.find((score: unknown) => score !== null && !Number.isFinite(score));
    return bad === undefined
      ? (part as Scores)
      : fail(`holds ${shownValue(bad)} in '${name}', where a number or null belongs`);
  };
  const works = (part: unknown): ExpertWorks => {
    if (!Array.isArray(part) || part.length !== layers)
      return fail(`holds no list 'experts' of ${layers} layers, each a list of experts or null`);
    return part.map((of: unknown, layer) =>
      of === null || (Array.isArray(of) && of.every(isWork))
        ? (of as ExpertWork[] | null)
        : fail(`holds ${shownValue(of)} in experts[${layer}], where what each expert did belongs, or null`),
    );
  };
  const all = object(value, 'of scores');
  // Gate-Norm's scores are of weights, not of tokens.
  const least = all.metric === 'gate-norm' ? 0 : 1;
  refuseMistyped(all, scoreKeys, fail);
  const similarity = object(all.similarity, `'similarity'`);
  refuseMistyped(similarity, similarities, fail);
  const windows = Array.isArray(all.blockConsecutive) ? all.blockConsecutive : [];
  if (windows.length > 0 && windows.length !== layers)
    throw new UserError(`${where} scores windows of ${windows.length} layers, but the model has ${layers}`);
  const parsed: Importance = {
    metric: typeof all.metric === 'string' ? all.metric : 'cosine',
    samples: count('samples'),
    length: count('length'),
    tokens: count('tokens'),
    ...(all.spread === true && { spread: true }),
    similarity: Object.fromEntries(
      similarities.map((name) => [name, scores(similarity[name], `similarity.${name}`)]),
    ) as unknown as Importance['similarity'],
    blockConsecutive: windows.map((row: unknown, i) => scores(row, `blockConsecutive[${i}]`)),
    ...(all.experts !== undefined && { experts: works(all.experts) }),
  };
  const lost = parsed.tokens > 0 ? lostScore(parsed, all.drop) : undefined;
  return lost ? fail(`holds null for the ${lost}, which was not dropped: its score is lost`) : parsed;
}

const isWork = (value: unknown): boolean =>
  (['visits', 'weights', 'outputs'] as const).every((key) => {
    const sum = (value as Partial<ExpertWork> | null)?.[key];
    return typeof sum === 'number' && Number.isFinite(sum) && sum >= 0;
  });

/** A module of text's scores that is null although it was there: JSON has no other word for NaN and infinity. */
function lostScore({ similarity }: Importance, drop: unknown): string | undefined {
  for (const kind of moduleKinds) {
    const dropped: unknown = (drop as Partial<Drops> | undefined)?.[kind];
    if (!Array.isArray(dropped)) return undefined; // of scores alone, it is not known
    const lost = similarity[kind].findIndex((score, i) => score === null && !dropped.includes(i));
    if (lost >= 0) return `${moduleWord[kind]} of layer ${lost}`;
  }
  return undefined;
}

/** What a shard's result has beside scores, for the merge. JSON keeps numbers to the last bit. */
export interface ShardRecord extends Omit<ShardSums, 'scored' | 'where'>, Partial<Checksum> {
  readonly sums: ScoreSums;
}

/** The sums of a shard as JSON holds them. UserError where it is no shard's, or not as it was written. */
export function parseShard(value: unknown, where: string): ShardSums {
  const fail = (problem: string, hint = 'shards are written by llm-drop score --shard i/n --out'): never => {
    throw new UserError(`${where} ${problem}`, { hint });
  };
  const object = (part: unknown, name: string): Record<string, unknown> =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? (part as Record<string, unknown>)
      : fail(`holds no object '${name}'`);
  const count = (part: Record<string, unknown>, key: string): number =>
    Number.isInteger(part[key]) && (part[key] as number) > 0
      ? (part[key] as number)
      : fail(`holds no whole number '${key}'`);
  const indices = (list: unknown, name: string): number[] =>
    Array.isArray(list) && list.every((i) => Number.isInteger(i))
      ? (list as number[])
      : fail(`holds no list of whole numbers '${name}'`);
  const all = object(value, 'of scores');
  refuseMistyped(all, shardKeys, fail);
  if (all.shard === undefined) fail('holds whole scores, not those of a shard');
  const shard = object(all.shard, 'shard');
  const fingerprint = object(all.fingerprint, 'fingerprint');
  const sums = object(all.sums, 'sums');
  const drop = object(sums.drop, 'sums.drop');
  const [layers, gaps] = [count(sums, 'layers'), indices(sums.gaps, 'sums.gaps')];
  const experts = sums.experts === undefined ? undefined : count(sums, 'experts');
  const numbers = sums.sums;
  const length = sumsLength(layers, gaps.length, experts);
  if (!Array.isArray(numbers) || numbers.length !== length || !numbers.every(Number.isFinite))
    return fail(`holds no list of ${length} numbers 'sums.sums'`);
  if (typeof sums.metric !== 'string') return fail(`holds no text 'metric'`);
  if (!Object.values(fingerprint).every((part) => typeof part === 'string'))
    fail(`holds something else than text in 'fingerprint'`);
  const found: ShardSums = {
    shard: { index: count(shard, 'index'), count: count(shard, 'count') },
    fingerprint: fingerprint as Fingerprint,
    scored: {
      metric: sums.metric,
      samples: count(sums, 'samples'),
      length: count(sums, 'length'),
      tokens: count(sums, 'tokens'),
      layers,
      gaps,
      ...(experts !== undefined && { experts }),
      drop: { attention: indices(drop.attention, 'sums.drop.attention'), mlp: indices(drop.mlp, 'sums.drop.mlp') },
      sums: numbers as number[],
    },
    where,
  };
  checkChecksum(all, where, `to score the shard again, remove ${where}`);
  return found;
}
