import { UserError } from '../engine/index.js';
import type { Drops } from '../models/index.js';
import type { Importance, Scores } from './importance.js';

const similarities = ['attention', 'mlp', 'block', 'attentionBare', 'mlpBare'] as const;

/** Scores as JSON holds them, of a model of `layers` layers. UserError where they are of another form or another model. */
export function parseImportance(value: unknown, layers: number, where: string): Importance {
  const fail = (problem: string): never => {
    throw new UserError(`${where} ${problem}`, {
      hint: 'scores are written by scoreImportance, or by llm-drop score --out',
    });
  };
  const object = (part: unknown, name: string): Record<string, unknown> =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? (part as Record<string, unknown>)
      : fail(`holds no object ${name}`);
  const count = (key: string): number => {
    const number = all[key];
    return typeof number === 'number' && Number.isInteger(number) && number > 0
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
      : fail(`holds ${JSON.stringify(bad)} in '${name}', where a number or null belongs`);
  };
  const all = object(value, 'of scores');
  const similarity = object(all.similarity, `'similarity'`);
  const windows = Array.isArray(all.blockConsecutive) ? all.blockConsecutive : [];
  return {
    metric: typeof all.metric === 'string' ? all.metric : 'cosine',
    samples: count('samples'),
    length: count('length'),
    tokens: count('tokens'),
    similarity: Object.fromEntries(
      similarities.map((name) => [name, scores(similarity[name], `similarity.${name}`)]),
    ) as unknown as Importance['similarity'],
    blockConsecutive: windows.map((row: unknown, i) => scores(row, `blockConsecutive[${i}]`)),
  };
}

/** The same scores without the modules that are gone: they cannot be dropped a second time. */
export function withoutDropped(importance: Importance, { attention, mlp }: Drops): Importance {
  const { similarity } = importance;
  const less = (scores: Scores, gone: (layer: number) => boolean): Scores =>
    scores.map((score, i) => (gone(i) ? null : score));
  const [noAttention, noMlp] = [(i: number) => attention.includes(i), (i: number) => mlp.includes(i)];
  return {
    ...importance,
    similarity: {
      attention: less(similarity.attention, noAttention),
      mlp: less(similarity.mlp, noMlp),
      block: less(similarity.block, (i) => noAttention(i) && noMlp(i)),
      attentionBare: less(similarity.attentionBare, noAttention),
      mlpBare: less(similarity.mlpBare, noMlp),
    },
  };
}
