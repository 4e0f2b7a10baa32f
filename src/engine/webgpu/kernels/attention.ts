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
}

/**
 * softmax(scale q k^T + slope * distance) v of one query of one head, a workgroup each: keys a block at a time, a lane
 * a key, then four elements of the result a lane. What was summed before is scaled down where a larger score is found
 * (Milakov and Gimelshein, 2018), so that no row of scores is kept.
 */
export const attend = once(
  (spec: AttendSpec) => Object.values(spec).join(),
  ({ headDim, dtype, softCap, slopes }: AttendSpec) => {
    const fours = foursOf(headDim);
    // Fours of the result that a lane sums.
    const own = Array.from({ length: Math.ceil(fours / lanes) }, (_, i) => i);
    const four = (buffer: string, at: string): string =>
      dtype === 'float32' ? `${buffer}[${at}]` : `fourFloats(${buffer}[${at}])`;
    return kernel(
      `attend ${headDim} ${dtype}${softCap ? ' capped' : ''}${slopes ? ' sloped' : ''}`,
      {
        reads: {
          q: 'vec4f',
          keys: fourOf(dtype),
          values: fourOf(dtype),
          queries: 'vec4u',
          ...(slopes && { slope: 'f32' }),
        } as Readonly<Record<'q' | 'keys' | 'values' | 'queries' | 'slope', string>>,
        writes: { y: 'f32' },
        numbers: { heads: 'u32', keyValueHeads: 'u32', window: 'u32', scale: 'f32', cap: 'f32' },
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
  let head = group % heads;
  let query = queries[group / heads];
  let last = query.x;
  let keyHead = head * keyValueHeads / heads;
  let stride = keyValueHeads * ${fours}u;
  let base = (query.z * keyValueHeads + keyHead) * ${fours}u;
  var most = -3.4e38;
  var sum = 0.0;
  ${own.map((j) => `var mixed${j} = vec4f();`).join(' ')}
  for (var block = last + 1u - min(last + 1u, window); block <= last; block += ${lanes}u) {
    let key = block + lane;
    var score = -3.4e38;
    if (key <= last) {
      var product = 0.0;
      for (var at = 0u; at < ${fours}u; at++) {
        product += dot(q[group * ${fours}u + at], ${four('keys', 'base + key * stride + at')});
      }
      score = scale * product${slopes ? ' + slope[head] * (f32(key) - f32(last))' : ''};
      ${softCap ? 'score = hyperbolicTangent(score / cap) * cap;' : ''}
    }
    let higher = max(most, largest(score, lane));
    let shrink = exponential(most - higher);
    var weight = 0.0;
    if (key <= last) { weight = exponential(score - higher); }
    weights[lane] = weight;
    sum = sum * shrink + total(weight, lane);
    most = higher;
    let count = min(${lanes}u, last + 1u - block);
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
    if (i < ${headDim}u) { y[group * ${headDim}u + i] = mixed${j}[k] / sum; }
  }`,
    )
    .join('\n  ')}`,
    );
  },
);
