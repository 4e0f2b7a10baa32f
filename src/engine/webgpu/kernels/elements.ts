/** Kernels that move or convert elements one by one. */
import { elementwise } from '../compiler/kernel.js';
import type { TilePlan } from '../layouts/tilePlan.js';
import { elementOf, formName, type WeightForm } from '../layouts/weightRows.js';
import { fours } from './fours.js';
import { once } from './once.js';

/** Towards zero. */
export const truncate = elementwise('truncate', { reads: { x: 'f32' }, writes: { y: 'i32' } }, 'y[i] = i32(x[i]);');

export const convert = elementwise('convert', { reads: { x: 'i32' }, writes: { y: 'f32' } }, 'y[i] = f32(x[i]);');

/** The bits as they are. */
export const copy = elementwise('copy', { reads: { x: 'u32' }, writes: { y: 'u32' } }, 'y[i] = x[i];');

/** Rows of x by index. */
export const gather = elementwise(
  'gather',
  { reads: { x: 'u32', indices: 'u32' }, writes: { y: 'u32' }, numbers: { width: 'u32' } },
  'y[i] = x[indices[i / width] * width + i % width];',
);

/** Rows of a weight by index, those that lie in its part [first, first + rows): four elements of a row each. */
export const embed = once(
  (form: WeightForm, { halves }: TilePlan) => `${formName(form)} ${halves}`,
  (form: WeightForm, plan: TilePlan) =>
    elementwise(
      `embed ${formName(form)}`,
      {
        reads: { w: elementOf(form), indices: 'u32' },
        writes: { y: 'f32' },
        numbers: { width: 'u32', first: 'u32', rows: 'u32', stride: 'u32', scalesAt: 'u32' },
        pieces: fours('elements', 'w', form, plan),
      },
      `
  let fours = (width + 3u) / 4u;
  let row = i / fours;
  let at = i % fours;
  let own = indices[row] - first;
  if (own < rows) {
    let values = elements(own, at);
    for (var j = 0u; j < min(4u, width - 4u * at); j++) { y[row * width + 4u * at + j] = values[j]; }
  }`,
    ),
);
