/**
 * Attention. What is known of a token or of a query is four numbers: its position, the row of the keys that it is
 * written to, and the row where the keys of its sequence begin.
 */
import { mathematics } from '../compiler/algebra.js';
import { fold } from '../compiler/fold.js';
import { halves } from '../compiler/halves.js';
import { elementwise, kernel } from '../compiler/kernel.js';
import { fourOf, foursOf, type CacheType } from '../layouts/cacheLayout.js';
import { once } from './once.js';

const lanes = 64;

/**
 * Heads of x [T, heads * d], rotated where `rotary` is, four elements at a time: to the token's row of a cache or, of
 * queries, to its own. Rotation pairs element i < n of a head with i + n (Su et al., 2021).
 */
export const place = once(
  (headDim: number, dtype: CacheType, rotary: boolean, cached: boolean) => [headDim, dtype, rotary, cached].join(),
  (headDim: number, dtype: CacheType, rotary: boolean, cached: boolean) =>
    elementwise(
      `place ${headDim} ${dtype}${rotary ? ' rotary' : ''}${cached ? ' cached' : ''}`,
      {
        reads: { x: 'f32', tokens: 'vec4u', ...(rotary && { cosines: 'f32', sines: 'f32' }) } as Readonly<
          Record<'x' | 'tokens' | 'cosines' | 'sines', string>
        >,
        writes: { y: fourOf(dtype) },
        numbers: { heads: 'u32', half: 'u32' },
        pieces: [
          halves,
          {
            code: `
fn rotated(head: u32, j: u32, position: u32) -> f32 {
  if (j >= ${headDim}u) { return 0.0; }
  let value = x[head + j];
  ${
    rotary
      ? `let half = numbers.half;
  if (j >= 2u * half) { return value; }
  let angle = position * half + j % half;
  if (j < half) { return value * cosines[angle] - x[head + j + half] * sines[angle]; }
  return value * cosines[angle] + x[head + j - half] * sines[angle];`
      : 'return value;'
  }
}`,
          },
        ],
      },
      `
  let fours = ${foursOf(headDim)}u;
  let head = i / fours;
  let token = tokens[head / heads];
  let j = 4u * (i % fours);
  let start = head * ${headDim}u;
  let four = vec4f(${[0, 1, 2, 3].map((k) => `rotated(start, j + ${k}u, token.x)`).join(', ')});
  let to = (${cached ? 'token.y' : 'head / heads'} * heads + head % heads) * fours + i % fours;
  y[to] = ${dtype === 'float32' ? 'four' : 'vec2u(twoHalves(four.x, four.y), twoHalves(four.z, four.w))'};`,
    ),
);

export interface AttendSpec {
  readonly headDim: number;
  readonly dtype: CacheType;
  readonly softCap: boolean;
  readonly slopes: boolean;
  /** Whether a query's keys are divided among workgroups, whose results `mergeSplits` puts together. */
  readonly split: boolean;
}

/**
 * softmax(scale q k^T + slope * distance) v of one query of one head, a workgroup each: keys a block at a time, a lane
 * a key, then four elements of the result a lane. What was summed before is scaled down where a larger score is found
 * (Milakov and Gimelshein, 2018), so that no row of scores is kept.
 */
export const attend = once(
  (spec: AttendSpec) => Object.values(spec).join(),
  ({ headDim, dtype, softCap, slopes, split }: AttendSpec) => {
    const fours = foursOf(headDim);
    // Fours of the result that a lane sums.
    const own = Array.from({ length: Math.ceil(fours / lanes) }, (_, i) => i);
    const four = (buffer: string, at: string): string =>
      dtype === 'float32' ? `${buffer}[${at}]` : `fourFloats(${buffer}[${at}])`;
    return kernel(
      `attend ${headDim} ${dtype}${softCap ? ' capped' : ''}${slopes ? ' sloped' : ''}${split ? ' split' : ''}`,
      {
        reads: {
          q: 'vec4f',
          keys: fourOf(dtype),
          values: fourOf(dtype),
          queries: 'vec4u',
          ...(slopes && { slope: 'f32' }),
        } as Readonly<Record<'q' | 'keys' | 'values' | 'queries' | 'slope', string>>,
        // Of a split, y is not divided yet, and `extremes` has the largest score and the sum of the weights.
        writes: { y: 'f32', ...(split && { extremes: 'vec2f' }) } as Readonly<Record<'y' | 'extremes', string>>,
        numbers: { splits: 'u32', heads: 'u32', keyValueHeads: 'u32', window: 'u32', scale: 'f32', cap: 'f32' },
        lanes,
        pieces: [
          mathematics,
          halves,
          { code: 'fn fourFloats(word: vec2u) -> vec4f { return vec4f(floatsOf(word.x), floatsOf(word.y)); }' },
          { shared: { weights: `array<f32, ${lanes}>` } },
          fold('most', 'largest', 'f32', lanes),
          fold('sum', 'total', 'f32', lanes),
        ],
      },
      `
  let asking = group / splits;
  let head = asking % heads;
  let query = queries[asking / heads];
  let last = query.x;
  let keyHead = head * keyValueHeads / heads;
  let stride = keyValueHeads * ${fours}u;
  let base = (query.z * keyValueHeads + keyHead) * ${fours}u;
  var most = -3.4e38;
  var sum = 0.0;
  ${own.map((j) => `var mixed${j} = vec4f();`).join(' ')}
  let seen = min(last + 1u, window);
  let share = (seen + splits * ${lanes}u - 1u) / (splits * ${lanes}u) * ${lanes}u;
  let begin = last + 1u - seen + (group % splits) * share;
  let end = min(begin + share, last + 1u);
  for (var block = begin; block < end; block += ${lanes}u) {
    let key = block + lane;
    var score = -3.4e38;
    if (key < end) {
      var product = 0.0;
      for (var at = 0u; at < ${fours}u; at++) {
        product += dot(q[asking * ${fours}u + at], ${four('keys', 'base + key * stride + at')});
      }
      score = scale * product${slopes ? ' + slope[head] * (f32(key) - f32(last))' : ''};
      ${softCap ? 'score = hyperbolicTangent(score / cap) * cap;' : ''}
    }
    let higher = max(most, largest(score, lane));
    let shrink = exponential(most - higher);
    var weight = 0.0;
    if (key < end) { weight = exponential(score - higher); }
    weights[lane] = weight;
    sum = sum * shrink + total(weight, lane);
    most = higher;
    let count = min(${lanes}u, end - block);
    ${own
      .map(
        (j) => `if (lane + ${j * lanes}u < ${fours}u) {
      mixed${j} *= shrink;
      for (var k = 0u; k < count; k++) {
        mixed${j} += weights[k] * ${four('values', `base + (block + k) * stride + lane + ${j * lanes}u`)};
      }
    }`,
      )
      .join('\n    ')}
  }
  ${own
    .map(
      (j) => `for (var k = 0u; k < 4u; k++) {
    let i = 4u * (lane + ${j * lanes}u) + k;
    if (i < ${headDim}u) { y[group * ${headDim}u + i] = mixed${j}[k]${split ? '' : ' / sum'}; }
  }`,
    )
    .join('\n  ')}
  ${split ? 'if (lane == 0u) { extremes[group] = vec2f(most, sum); }' : ''}`,
    );
  },
);

/** What the splits of a query's keys gave, as one: each counts by how its largest score compares to that of all. */
export const mergeSplits = elementwise(
  'mergeSplits',
  {
    reads: { parts: 'f32', extremes: 'vec2f' },
    writes: { y: 'f32' },
    numbers: { splits: 'u32', headDim: 'u32' },
    pieces: [mathematics],
  },
  `
  let first = i / headDim * splits;
  var most = extremes[first].x;
  for (var s = 1u; s < splits; s++) { most = max(most, extremes[first + s].x); }
  var sum = 0.0;
  var mixed = 0.0;
  for (var s = 0u; s < splits; s++) {
    let weight = exponential(extremes[first + s].x - most);
    sum += weight * extremes[first + s].y;
    mixed += weight * parts[(first + s) * headDim + i % headDim];
  }
  y[i] = mixed / sum;`,
);
