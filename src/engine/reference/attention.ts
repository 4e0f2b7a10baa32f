import type { AttentionSpec, Operand, Rotary } from '../backend.js';
import type { Batch } from '../batch.js';
import type { KvCache } from '../kvCache.js';
import { float16ToFloat32, float32ToFloat16 } from '../halfFloat.js';
import type { ArrayStorage } from './arrayStorage.js';
import { softmaxOf } from './general.js';
import { flat, view } from './view.js';

/** Keys and values seen by a sequence, of one head: element i of token t. */
interface KeyValues {
  key(token: number, head: number, i: number): number;
  value(token: number, head: number, i: number): number;
}

/** Rotates pairs (i, i + d / 2) of every head by the position's angles (Su et al., 2021). */
function rotate(x: Operand, heads: number, headDim: number, positions: Int32Array, rotary?: Rotary): Float32Array {
  const y = flat(x).slice();
  if (!rotary) return y;
  const cos = view(rotary.cos), sin = view(rotary.sin);
  const half = headDim / 2;
  positions.forEach((position, token) => {
    for (let head = 0; head < heads; head++)
      for (let i = 0; i < half; i++) {
        const low = (token * heads + head) * headDim + i;
        const [a, b, c, s] = [y[low], y[low + half], cos.get(position, i), sin.get(position, i)];
        y[low] = a * c - b * s;
        y[low + half] = b * c + a * s;
      }
  });
  return y;
}

/** Cache layout of one layer: keys then values, each [slots, capacity, keyValueHeads, headDim]. */
function append(cache: KvCache, layer: number, batch: Batch, keys: Float32Array, values: Float32Array): (slot: number) => KeyValues {
  const { slots, capacity, keyValueHeads, headDim, dtype } = cache.spec;
  const stored = (cache.storage(layer) as ArrayStorage).values;
  const round = dtype === 'float16' ? (x: number) => float16ToFloat32(float32ToFloat16(x)) : (x: number) => x;
  const width = keyValueHeads * headDim;
  const half = slots * capacity * width;
  let from = 0;
  for (const { slot, start, length } of batch.sequences)
    for (let i = 0; i < length * width; i++, from++) {
      const to = (slot * capacity + start) * width + i;
      stored[to] = round(keys[from]);
      stored[half + to] = round(values[from]);
    }
  return (slot) => {
    const at = (token: number, head: number, i: number) => ((slot * capacity + token) * keyValueHeads + head) * headDim + i;
    return {
      key: (token, head, i) => stored[at(token, head, i)],
      value: (token, head, i) => stored[half + at(token, head, i)],
    };
  };
}

/** softmax(scale * q k^T + mask) v per head, each group of heads sharing one key-value head (Ainslie et al., 2023). */
export function attention(q: Operand, k: Operand, v: Operand, cache: KvCache | undefined, layer: number, batch: Batch, spec: AttentionSpec): Float32Array {
  const { heads, keyValueHeads, headDim, scale, rotary, window = Infinity, softCap } = spec;
  const queries = rotate(q, heads, headDim, batch.positions, rotary);
  const keys = rotate(k, keyValueHeads, headDim, batch.positions, rotary);
  const values = flat(v);
  const cached = cache && append(cache, layer, batch, keys, values);
  const out = new Float32Array(queries.length);
  let first = 0;
  for (const { slot, start, length } of batch.sequences) {
    const at = (token: number, head: number, i: number, base = first) => ((base + token) * keyValueHeads + head) * headDim + i;
    const base = first;
    const seen: KeyValues = cached?.(slot) ?? { key: (t, h, i) => keys[at(t, h, i, base)], value: (t, h, i) => values[at(t, h, i, base)] };
    for (let token = 0; token < length; token++)
      for (let head = 0; head < heads; head++) {
        const shared = Math.floor((head * keyValueHeads) / heads);
        const own = ((first + token) * heads + head) * headDim;
        const last = start + token;
        const earliest = Math.max(0, last - window + 1);
        const scores = Array.from({ length: last - earliest + 1 }, (_, j) => {
          let score = 0;
          for (let i = 0; i < headDim; i++) score += queries[own + i] * seen.key(earliest + j, shared, i);
          score *= scale;
          return softCap ? Math.tanh(score / softCap) * softCap : score;
        });
        const weights = softmaxOf(scores);
        for (let i = 0; i < headDim; i++) out[own + i] = weights.reduce((sum, weight, j) => sum + weight * seen.value(earliest + j, shared, i), 0);
      }
    first += length;
  }
  return out;
}
