/**
 * Causal attention with grouped heads (Ainslie et al., 2023), one sequence at a time.
 *
 * Legend: T tokens of the batch, L of one sequence, H heads, K key-value heads, G = H / K, d head size.
 */
import type { AttentionSpec, Rotary } from '../backend.js';
import { asking, lastRows, type Batch } from '../batch.js';
import type { CacheLayer, KeysAndValues } from './cache.js';
import type { Tensor, Tf } from './load.js';
import { rowsAt } from './rows.js';
import { reshaped, view } from './storage.js';

/** Scores in memory at a time. */
const scoreBudget = 2 ** 24;

/** q [T, H d] or of each sequence's last token, k and v [T, K d] -> as q */
export function attention(
  tf: Tf,
  q: Tensor,
  k: Tensor,
  v: Tensor,
  cache: CacheLayer | undefined,
  batch: Batch,
  spec: AttentionSpec,
  budget = scoreBudget,
): Tensor {
  const { heads, keyValueHeads, headDim } = spec;
  const tokens = batch.tokens.length;
  const { positions } = batch;
  const turn = (at: Int32Array): ((x: Tensor) => Tensor) =>
    spec.rotary ? rotation(tf, spec.rotary, at, headDim) : (x) => x;
  const [all, rows] = [turn(positions), q.shape[0]!];
  const ask = rows === tokens ? all : turn(lastRows(batch).map((row) => positions[row]));
  const queries = ask(tf.reshape(q, [rows, heads, headDim]));
  const keys = all(tf.reshape(k, [tokens, keyValueHeads, headDim]));
  const values = tf.reshape(v, [tokens, keyValueHeads, headDim]);
  const outputs: Tensor[] = [];
  let row = 0;
  let query = 0;
  for (const sequence of batch.sequences) {
    const { slot, start, length } = sequence;
    const asked = asking(batch, sequence, rows);
    const own = (x: Tensor): Tensor => entries(tf, x, row, length);
    if (length > 0) {
      const fresh = { keys: headsFirst(tf, own(keys)), values: headsFirst(tf, own(values)) };
      const seen = cache ? cache.append(tf, slot, start, fresh) : fresh;
      const ours = entries(tf, queries, query, asked.length);
      outputs.push(attend(tf, ours, seen, asked.start, spec, budget));
    }
    row += length;
    query += asked.length;
  }
  return outputs.length === 0 ? tf.zeros([0, heads * headDim]) : tf.concat(outputs, 0);
}

/** Entries [first, first + count) of the first of three axes. */
const entries = (tf: Tf, x: Tensor, first: number, count: number): Tensor =>
  count === x.shape[0] ? x : tf.slice(x, [first, 0, 0], [count, -1, -1]);

const headsFirst = (tf: Tf, x: Tensor): Tensor => tf.transpose(x, [1, 0, 2]);

/** Turns [T, heads, d] by each token's position, element i < n with i + n (Su et al., 2021). */
function rotation(tf: Tf, rotary: Rotary, positions: Int32Array, headDim: number): (x: Tensor) => Tensor {
  const [, half] = rotary.cos.shape;
  const rest = headDim - 2 * half;
  const [cos, sin] = [rotary.cos, rotary.sin].map((table) => tf.expandDims(rowsAt(tf, view(tf, table), positions), 1));
  return (x) => {
    const first = tf.slice(x, [0, 0, 0], [-1, -1, half]);
    const second = tf.slice(x, [0, 0, half], [-1, -1, half]);
    const turned = [tf.sub(tf.mul(first, cos), tf.mul(second, sin)), tf.add(tf.mul(second, cos), tf.mul(first, sin))];
    if (rest > 0) turned.push(tf.slice(x, [0, 0, 2 * half], [-1, -1, rest]));
    return tf.concat(turned, 2);
  };
}

/** queries [L, H, d] over the keys and values of one sequence -> [L, H d], so many queries at a time as fit. */
function attend(
  tf: Tf,
  queries: Tensor,
  seen: KeysAndValues,
  start: number,
  spec: AttentionSpec,
  budget: number,
): Tensor {
  const length = queries.shape[0];
  const rows = Math.max(1, Math.floor(budget / (spec.heads * seen.keys.shape[1]!)));
  const outputs: Tensor[] = [];
  for (let first = 0; first < length; first += rows) {
    const count = Math.min(rows, length - first);
    const part = (): Tensor => attendRows(tf, entries(tf, queries, first, count), seen, start + first, spec);
    outputs.push(tf.tidy(part));
  }
  return outputs.length === 1 ? outputs[0] : tf.concat(outputs, 0);
}

/** queries [L, H, d] from position `start` on -> [L, H d] */
function attendRows(tf: Tf, queries: Tensor, seen: KeysAndValues, start: number, spec: AttentionSpec): Tensor {
  const { heads, keyValueHeads, headDim, scale, softCap, slopes, window = Infinity } = spec;
  const length = queries.shape[0];
  const group = heads / keyValueHeads;
  const from = Math.max(0, start - window + 1);
  const visible = start + length - from;
  // One query is quicker over all that a cache has room for than over a copy of what it may see.
  const count = length === 1 && from === 0 ? seen.keys.shape[1]! : visible;
  const within = (x: Tensor): Tensor => (count === x.shape[1] ? x : tf.slice(x, [0, from, 0], [-1, count, -1]));

  const grouped = tf.transpose(tf.reshape(queries, [length, keyValueHeads, group, headDim]), [1, 2, 0, 3]);
  const rows = tf.reshape(grouped, [keyValueHeads, group * length, headDim]);
  let scores: Tensor = tf.mul(tf.matMul(rows, within(seen.keys), false, true), scale);
  if (slopes) {
    const slope = tf.reshape(view(tf, slopes), [heads, 1, 1]);
    const added = tf.mul(slope, tf.sub(places(tf, from, count, 1), places(tf, start, length, 0)));
    scores = tf.add(tf.reshape(scores, [heads, length, count]), added);
    scores = tf.reshape(scores, [keyValueHeads, group * length, count]);
  }
  if (softCap !== undefined) scores = tf.mul(tf.tanh(tf.div(scores, softCap)), softCap);
  if (length > 1 || count > visible)
    scores = tf.add(
      length === 1 ? scores : tf.reshape(scores, [heads, length, count]),
      hidden(tf, start, length, from, count, window),
    );
  const shares = reshaped(tf, tf.softmax(scores), [keyValueHeads, group * length, count]);
  const mixed = tf.reshape(tf.matMul(shares, within(seen.values)), [keyValueHeads, group, length, headDim]);
  return tf.reshape(tf.transpose(mixed, [2, 0, 1, 3]), [length, heads * headDim]);
}

/**
 * A mask [length, count] to add to scores: 0 where the query sees the key, elsewhere a number so low that its
 * exponential is 0.
 */
function hidden(tf: Tf, start: number, length: number, from: number, count: number, window: number): Tensor {
  const [query, key] = [places(tf, start, length, 0), places(tf, from, count, 1)];
  const later = tf.greater(key, query);
  const unseen = Number.isFinite(window) ? tf.logicalOr(later, tf.lessEqual(key, tf.sub(query, window))) : later;
  return tf.mul(tf.cast(unseen, 'float32'), -1e30);
}

/** Positions `first`, `first` + 1, ... as a column (of axis 0) or a row (of axis 1). */
const places = (tf: Tf, first: number, count: number, axis: 0 | 1): Tensor =>
  tf.reshape(tf.range(first, first + count), axis === 0 ? [count, 1] : [1, count]);
