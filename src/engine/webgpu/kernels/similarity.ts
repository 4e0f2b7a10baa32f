import { each, fold } from '../compiler/fold.js';
import { kernel } from '../compiler/kernel.js';
import { runningSum } from '../compiler/runningSum.js';

const lanes = 64;

/** cosines[r] = a[r] b[r] / (|a[r]| |b[r]|), norms of at least 1e-8. */
export const cosines = kernel(
  'cosines',
  {
    reads: { a: 'f32', b: 'f32' },
    writes: { y: 'f32' },
    numbers: { width: 'u32' },
    lanes,
    pieces: [fold('sum', 'total', 'vec3f', lanes)],
  },
  `
  let row = group * width;
  var sums = vec3f();
  ${each('width', lanes, (i) => `{ let p = a[row + ${i}]; let q = b[row + ${i}]; sums += vec3f(p * q, p * p, q * q); }`)}
  let all = total(sums, lane);
  if (lane == 0u) { y[group] = all.x / (max(sqrt(all.y), 1e-8) * max(sqrt(all.z), 1e-8)); }`,
);

/** sums[index] += the sum of `count` values. */
export const addSum = kernel(
  'addSum',
  {
    reads: { x: 'f32' },
    writes: { sums: 'vec2f' },
    numbers: { count: 'u32', index: 'u32', zero: 'u32' },
    lanes,
    pieces: [runningSum, fold('sum', 'total', 'f32', lanes)],
  },
  `
  var sum = 0.0;
  ${each('count', lanes, (i) => `sum += x[${i}];`)}
  let all = total(sum, lane);
  if (lane == 0u) { addTo(index, all); }`,
);
