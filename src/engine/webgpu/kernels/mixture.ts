/** Mixtures of experts, but for their products. A visit is a token and one of its `topK` experts: [T, topK] of them. */
import { mathematics } from '../compiler/algebra.js';
import { each, fold } from '../compiler/fold.js';
import { elementwise, kernel } from '../compiler/kernel.js';
import { runningSum } from '../compiler/runningSum.js';
import { once } from './once.js';

const lanes = 64;

/** Each token's experts of the largest logits, the lower index of equals, and their weights. */
export const route = once(
  (scoring: 'softmax' | 'sigmoid', normalise: boolean) => `${scoring} ${normalise}`,
  (scoring: 'softmax' | 'sigmoid', normalise: boolean) =>
    elementwise(
      `route ${scoring}${normalise ? ' normalised' : ''}`,
      {
        reads: { logits: 'f32' },
        writes: { experts: 'u32', weights: 'f32' },
        numbers: { width: 'u32', topK: 'u32', scale: 'f32' },
        pieces: [mathematics],
      },
      `
  let row = i * width;
  let visits = i * topK;
  var most = logits[row];
  for (var e = 1u; e < width; e++) { most = max(most, logits[row + e]); }
  var all = 1.0;
  ${scoring === 'softmax' ? 'all = 0.0; for (var e = 0u; e < width; e++) { all += exponential(logits[row + e] - most); }' : ''}
  var sum = 0.0;
  var last = 0u;
  for (var k = 0u; k < topK; k++) {
    // The best of those that come after the one chosen last, in the order of their logits and then of their indices.
    var best = width;
    for (var e = 0u; e < width; e++) {
      let after = k == 0u || logits[row + e] < logits[row + last] || (logits[row + e] == logits[row + last] && e > last);
      if (after && (best == width || logits[row + e] > logits[row + best])) { best = e; }
    }
    last = min(best, width - 1u);
    let weight = ${scoring === 'softmax' ? 'exponential(logits[row + last] - most) / all' : 'sigmoid(logits[row + last])'};
    experts[visits + k] = last;
    weights[visits + k] = weight;
    sum += weight;
  }
  for (var k = 0u; k < topK; k++) { weights[visits + k] *= scale${normalise ? ' / sum' : ''}; }`,
    ),
);

/** y[t] = sum over a token's visits of weight * given, and what is added. */
export const combine = once(
  (add: boolean) => String(add),
  (add: boolean) =>
    elementwise(
      `combine${add ? ' added' : ''}`,
      {
        reads: { given: 'f32', weights: 'f32', ...(add && { added: 'f32' }) } as Readonly<
          Record<'given' | 'weights' | 'added', string>
        >,
        writes: { y: 'f32' },
        numbers: { width: 'u32', topK: 'u32' },
      },
      `
  let first = i / width * topK;
  var sum = 0.0;
  for (var k = 0u; k < topK; k++) { sum += weights[first + k] * given[(first + k) * width + i % width]; }
  y[i] = sum${add ? ' + added[i]' : ''};`,
    ),
);

/** norms[v] = the L2 norm of what a visit gives. */
export const norms = kernel(
  'norms',
  {
    reads: { x: 'f32' },
    writes: { y: 'f32' },
    numbers: { width: 'u32' },
    lanes,
    pieces: [fold('sum', 'total', 'f32', lanes)],
  },
  `
  var squares = 0.0;
  ${each('width', lanes, (i) => `squares += x[group * width + ${i}] * x[group * width + ${i}];`)}
  let all = total(squares, lane);
  if (lane == 0u) { y[group] = sqrt(all); }`,
);

/** Of expert `group`: its visits, their weights, and their weights times norms, added to what was counted before. */
export const tally = kernel(
  'tally',
  {
    reads: { experts: 'u32', weights: 'f32', lengths: 'f32' },
    writes: { sums: 'vec2f' },
    numbers: { visits: 'u32', index: 'u32', zero: 'u32' },
    lanes,
    pieces: [runningSum, fold('sum', 'total', 'vec3f', lanes)],
  },
  `
  var own = vec3f();
  ${each('visits', lanes, (i) => `if (experts[${i}] == group) { own += vec3f(1.0, weights[${i}], weights[${i}] * lengths[${i}]); }`)}
  let all = total(own, lane);
  if (lane < 3u) { addTo(index + group + lane * numbers.groups, all[lane]); }`,
);
