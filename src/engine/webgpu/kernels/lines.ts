/** Along one axis of x [outer, size, inner]: a workgroup for each line of `size` elements, `inner` apart. */
import { mathematics } from '../compiler/algebra.js';
import { each, fold } from '../compiler/fold.js';
import { kernel } from '../compiler/kernel.js';

const lanes = 64;
const spec = { reads: { x: 'f32' }, writes: { y: 'f32' }, lanes } as const;
const numbers = { size: 'u32', inner: 'u32' } as const;
const begin = 'let line = group / inner * size * inner + group % inner;';
const at = (i: string): string => `line + ${i} * inner`;
const along = (body: (index: string, i: string) => string): string => each('size', lanes, (i) => body(at(i), i));

export const softmax = kernel(
  'softmax',
  {
    ...spec,
    numbers,
    pieces: [mathematics, fold('most', 'largest', 'f32', lanes), fold('sum', 'total', 'f32', lanes)],
  },
  `
  ${begin}
  var own = -3.4e38;
  ${along((i) => `own = max(own, x[${i}]);`)}
  let most = largest(own, lane);
  var sum = 0.0;
  ${along((i) => `sum += exponential(x[${i}] - most);`)}
  let all = total(sum, lane);
  ${along((i) => `y[${i}] = exponential(x[${i}] - most) / all;`)}`,
);

/** `factor` times the sum. */
export const sum = kernel(
  'sum',
  { ...spec, numbers: { ...numbers, factor: 'f32' }, pieces: [fold('sum', 'total', 'f32', lanes)] },
  `
  ${begin}
  var sum = 0.0;
  ${along((i) => `sum += x[${i}];`)}
  let all = total(sum, lane);
  if (lane == 0u) { y[group] = all * factor; }`,
);

/** The index of the largest element, the first of equals: each lane's own, then the best of all lanes. */
export const argmax = kernel(
  'argmax',
  {
    reads: { x: 'f32' },
    writes: { y: 'i32' },
    numbers,
    lanes,
    pieces: [
      {
        shared: { values: `array<f32, ${lanes}>`, places: `array<u32, ${lanes}>` },
        code: `
/** Whether lane b's is larger than lane a's, or as large and before it. */
fn better(b: u32, a: u32) -> bool {
  return values[b] > values[a] || (values[b] == values[a] && places[b] < places[a]);
}`,
      },
    ],
  },
  `
  ${begin}
  var most = x[${at('min(lane, size - 1u)')}];
  var place = min(lane, size - 1u);
  ${along((index, i) => `if (x[${index}] > most) { most = x[${index}]; place = ${i}; }`)}
  values[lane] = most;
  places[lane] = place;
  for (var half = ${lanes / 2}u; half > 0u; half >>= 1u) {
    workgroupBarrier();
    if (lane < half && better(lane + half, lane)) {
      values[lane] = values[lane + half];
      places[lane] = places[lane + half];
    }
  }
  if (lane == 0u) { y[group] = i32(places[0]); }`,
);
