import type { Drops, ModuleKind } from '../models/index.js';
import type { ExpertWork } from './expertMetric.js';
import { expertsAt, partAt, windowAt, type ScoreSums } from './scoreSums.js';

/** A score by original layer; null where the module was already dropped. */
export type Scores = readonly (number | null)[];

/** What the experts of a layer did, in their order; null where the layer has none, or its MLP was already dropped. */
export type ExpertWorks = readonly (readonly ExpertWork[] | null)[];

/** Similarities of what enters and what leaves each module: the higher, the more redundant. */
export interface Importance {
  readonly metric: string;
  /** Rows, tokens a row, and their product. */
  readonly samples: number;
  readonly length: number;
  readonly tokens: number;
  /** Whether the rows are from all over the text; absent: they are its first ones. */
  readonly spread?: true;
  readonly similarity: {
    /** cos(x, x + attention(norm(x))). */
    readonly attention: Scores;
    readonly mlp: Scores;
    /** cos(h_i, h_i+1). */
    readonly block: Scores;
    /** Without the residual: cos(norm(x), attention(norm(x))). */
    readonly attentionBare: Scores;
    readonly mlpBare: Scores;
  };
  /** [i][g - 1] = cos(h_i, h_i+g): windows of g blocks from layer i; null past the last layer, and where not asked for. */
  readonly blockConsecutive: readonly Scores[];
  /** By layer, of a model with mixtures. */
  readonly experts?: ExpertWorks;
}

/** Scores from sums: means over all tokens. */
export function importanceOf(scored: ScoreSums): Importance {
  const { metric, samples, length, tokens, layers, gaps, drop, sums, experts } = scored;
  const means = sums.map((sum) => sum / tokens);
  const all = Array.from({ length: layers }, (_, i) => i);
  const gone = (kind: ModuleKind, i: number): boolean => drop[kind].includes(i);
  const present = (part: ModuleKind | `${ModuleKind}Bare`, kind: ModuleKind): Scores =>
    all.map((i) => (gone(kind, i) ? null : means[partAt(part, layers, i)]));
  const window = (i: number, gap: number): number | null => {
    const at = gaps.indexOf(gap);
    return at < 0 || i + gap > layers ? null : means[windowAt(layers, gaps.length, i, at)];
  };
  return {
    metric,
    samples,
    length,
    tokens,
    similarity: {
      attention: present('attention', 'attention'),
      mlp: present('mlp', 'mlp'),
      block: all.map((i) => (gone('attention', i) && gone('mlp', i) ? null : window(i, 1))),
      attentionBare: present('attentionBare', 'attention'),
      mlpBare: present('mlpBare', 'mlp'),
    },
    blockConsecutive: all.map((i) => all.map((j) => window(i, j + 1))),
    ...(experts !== undefined && { experts: all.map((i) => (gone('mlp', i) ? null : worksOf(scored, experts, i))) }),
  };
}

/** What the experts of a layer did; null where no token visited any, so that it has none. */
function worksOf({ layers, gaps, sums }: ScoreSums, experts: number, layer: number): readonly ExpertWork[] | null {
  const first = expertsAt(layers, gaps.length, experts, layer);
  const at = (kind: number, expert: number): number => sums[first + kind * experts + expert];
  const works = Array.from({ length: experts }, (_, expert) => ({
    visits: at(0, expert),
    weights: at(1, expert),
    outputs: at(2, expert),
  }));
  return works.some(({ visits }) => visits > 0) ? works : null;
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
    ...(importance.experts && { experts: importance.experts.map((works, i) => (noMlp(i) ? null : works)) }),
  };
}
