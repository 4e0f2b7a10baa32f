import type { AttentionInputs, AttentionSpec, Operand, Rotary } from '../backend.js';
import { asking, lastRows, type Sequence } from '../batch.js';
import { float16ToFloat32, float32ToFloat16 } from '../halfFloat.js';
import type { KvCache } from '../kvCache.js';
import type { ArrayStorage } from './arrayStorage.js';
import { softmaxOf } from './general.js';
import { dot } from './transformer.js';
import { flat, view } from './view.js';

/** Rotates pairs (i, i + n) of every head, i < n, by the position's n angles (Su et al., 2021). */
function rotate(x: Operand, heads: number, headDim: number, positions: Int32Array, rotary?: Rotary): Float32Array {
  const y = flat(x).slice();
  if (!rotary) return y;
  const [cos, sin] = [view(rotary.cos), view(rotary.sin)];
  const [, half] = rotary.cos.shape;
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

/** All tokens of a sequence so far, keys and values [tokens, K d] each. */
interface Seen {
  readonly keys: Float32Array;
  readonly values: Float32Array;
}

/** Appends a sequence's keys and values to a layer's cache, which holds [keys | values][slots, capacity, K d]. */
function append(cache: KvCache, layer: number, { slot, start, length }: Sequence, fresh: Seen): Seen {
  const { slots, capacity, keyValueHeads, headDim, dtype } = cache.spec;
  const stored = (cache.storage(layer) as ArrayStorage).values;
  const width = keyValueHeads * headDim;
  const round = dtype === 'float16' ? (x: number) => float16ToFloat32(float32ToFloat16(x)) : (x: number) => x;
  const [keys, values] = [0, slots * capacity * width].map((half) =>
    stored.subarray(half + slot * capacity * width, half + (slot * capacity + start + length) * width),
  );
  keys.set(fresh.keys.map(round), start * width);
  values.set(fresh.values.map(round), start * width);
  return { keys, values };
}

/**
 * softmax(scale * q k^T + slope * distance + mask) v per head, each group of heads sharing one key-value head (Ainslie et
 * al., 2023).
 */
export function attention({ q, k, v, cache, layer, batch, spec }: AttentionInputs): Float32Array {
  const { heads, keyValueHeads, headDim: d, rotary } = spec;
  const rows = q.shape[0];
  const asked = rows === batch.tokens.length ? batch.positions : lastRows(batch).map((row) => batch.positions[row]);
  const queries = rotate(q, heads, d, asked, rotary);
  const keys = rotate(k, keyValueHeads, d, batch.positions, rotary);
  const values = flat(v);
  const slopes = spec.slopes && flat(spec.slopes);
  const out = new Float32Array(queries.length);
  const width = keyValueHeads * d;
  let first = 0;
  let query = 0;
  for (const sequence of batch.sequences) {
    const own = (x: Float32Array): Float32Array => x.subarray(first * width, (first + sequence.length) * width);
    const fresh = { keys: own(keys), values: own(values) };
    const seen = cache ? append(cache, layer, sequence, fresh) : fresh;
    const { start, length } = asking(batch, sequence, rows);
    for (let token = 0; token < length; token++)
      for (let head = 0; head < heads; head++) {
        const at = ((query + token) * heads + head) * d;
        const shared = Math.floor((head * keyValueHeads) / heads);
        const one = queries.subarray(at, at + d);
        out.set(attend(one, seen, shared * d, width, start + token, spec, slopes?.[head] ?? 0), at);
      }
    first += sequence.length;
    query += length;
  }
  return out;
}

/** One query of one head, over tokens up to `last`: [d] */
function attend(
  query: Float32Array,
  { keys, values }: Seen,
  head: number,
  width: number,
  last: number,
  spec: AttentionSpec,
  slope: number,
): Float64Array {
  const { headDim: d, scale, window = Infinity, softCap } = spec;
  const earliest = Math.max(0, last - window + 1);
  const scores: number[] = [];
  for (let token = earliest; token <= last; token++) {
    const product = dot(query, keys.subarray(token * width + head, token * width + head + d));
    const score = scale * product + slope * (token - last);
    scores.push(softCap ? Math.tanh(score / softCap) * softCap : score);
  }
  const mixed = new Float64Array(d);
  softmaxOf(scores).forEach((weight, j) => {
    const value = (earliest + j) * width + head;
    for (let i = 0; i < d; i++) mixed[i] += weight * values[value + i];
  });
  return mixed;
}
