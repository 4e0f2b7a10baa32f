/**
 * How weights lie in the device's memory: row by row, in words of 32 bits. A row has its elements in the type of the
 * file, then, of integers, what its groups need; it ends at 16 bytes and is padded with zeros, so that a kernel reads
 * four elements at once and a large weight can be split between any two rows.
 */
import type { Packable } from '../../packable.js';
import type { WeightDType } from '../../weight.js';

export type WeightForm =
  | { readonly kind: WeightDType }
  | { readonly kind: 'int4'; readonly groupSize: number; readonly offsets: Offsets }
  | { readonly kind: 'int8'; readonly groupSize: number };

/** What is taken from a group's integers: 8, a zero point of its own, or instead a minimum is added. */
export type Offsets = 'middle' | 'zeros' | 'minima';

export function formOf(source: Packable): WeightForm {
  if (source.dtype === 'int8') return { kind: 'int8', groupSize: source.format.groupSize };
  if (source.dtype !== 'int4') return { kind: source.dtype };
  const { groupSize, zeroPoints, minima } = source.format;
  return { kind: 'int4', groupSize, offsets: minima ? 'minima' : zeroPoints ? 'zeros' : 'middle' };
}

/** The same text for the same form: what kernels are kept by. */
export const formName = (form: WeightForm): string =>
  [form.kind, 'groupSize' in form ? form.groupSize : '', 'offsets' in form ? form.offsets : ''].join('');

const bits: Readonly<Record<WeightForm['kind'], number>> = { float32: 32, float16: 16, bfloat16: 16, int8: 8, int4: 4 };

/** Where things lie in a row of `width` elements, in words. */
export interface RowLayout {
  /** Where the groups' scales begin. */
  readonly scalesAt: number;
  /** A scale and an offset have a word together; scales alone lie two in a word. */
  readonly pairs: boolean;
  /** The length of a row. */
  readonly words: number;
}

export function rowLayout(form: WeightForm, width: number): RowLayout {
  const scalesAt = Math.ceil((width * bits[form.kind]) / 32);
  const groups = 'groupSize' in form ? Math.ceil(width / form.groupSize) : 0;
  const pairs = form.kind === 'int4' && form.offsets !== 'middle';
  const words = scalesAt + (pairs ? groups : Math.ceil(groups / 2));
  return { scalesAt, pairs, words: 4 * Math.ceil(words / 4) };
}

/** The words that a kernel reads at once for four elements, as WGSL names them. */
export const elementOf = ({ kind }: WeightForm): 'vec4u' | 'vec2u' | 'u32' =>
  kind === 'float32' ? 'vec4u' : kind === 'float16' || kind === 'bfloat16' ? 'vec2u' : 'u32';

/** Words of such an element. */
export const elementWords = (form: WeightForm): number => ({ vec4u: 4, vec2u: 2, u32: 1 })[elementOf(form)];
