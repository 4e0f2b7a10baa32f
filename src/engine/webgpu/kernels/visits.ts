/** Visits in the order of their experts, so that those of one expert are multiplied together. */
import { each, fold } from '../compiler/fold.js';
import { kernel, type Piece } from '../compiler/kernel.js';

const lanes = 64;

/**
 * Of expert `group`: `starts[group]` is how many visits go to experts before it, and from there on `order` names its own;
 * the last of `starts` is their number.
 */
export const sortVisits = kernel(
  'sortVisits',
  {
    reads: { experts: 'u32' },
    writes: { order: 'u32', starts: 'u32' },
    numbers: { visits: 'u32' },
    lanes,
    pieces: [fold('sum', 'total', 'u32', lanes), { shared: { next: 'atomic<u32>' } }],
  },
  `
  var before = 0u;
  ${each('visits', lanes, (i) => `if (experts[${i}] < group) { before++; }`)}
  let start = total(before, lane);
  if (lane == 0u) {
    starts[group] = start;
    starts[numbers.groups] = visits;
    atomicStore(&next, start);
  }
  workgroupBarrier();
  // In whichever order: no visit's result depends on the others.
  ${each('visits', lanes, (i) => `if (experts[${i}] == group) { order[atomicAdd(&next, 1u)] = ${i}; }`)}`,
);

/** `tileOf(n, size)`: the n-th tile of `size` visits of one expert: the expert, its first place in `order`, and its end. */
export const tileOf: Piece = {
  code: `
fn tileOf(n: u32, size: u32) -> vec3u {
  var tile = n;
  for (var expert = 0u; expert < numbers.experts; expert++) {
    let start = starts[expert];
    let end = starts[expert + 1u];
    let tiles = (end - start + size - 1u) / size;
    if (tile < tiles) { return vec3u(expert, start + tile * size, end); }
    tile -= tiles;
  }
  return vec3u(0u);
}`,
};
