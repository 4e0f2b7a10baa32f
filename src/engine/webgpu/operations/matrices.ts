/** Tensors and weights as the sides of a product. */
import type { Operand, PackedWeight } from '../../backend.js';
import type { Storage } from '../../tensor.js';
import type { FloatsForm } from '../kernels/fours.js';
import { elementWords, rowLayout, type RowLayout, type WeightForm } from '../layouts/weightRows.js';
import type { Block } from '../runtime/memory.js';

/** Some rows of a weight, in a buffer of their own. */
export interface WeightPart {
  readonly block: Block;
  /** Its first row, and how many it has. */
  readonly first: number;
  readonly count: number;
}

/** A weight: its rows in as few buffers as the adapter's limits leave. */
export class WeightStorage implements Storage {
  readonly layout: RowLayout;
  readonly bytes: number;

  constructor(
    readonly form: WeightForm,
    readonly width: number,
    readonly parts: readonly WeightPart[],
  ) {
    this.layout = rowLayout(form, width);
    this.bytes = parts.reduce((sum, { block }) => sum + block.bytes, 0);
  }

  /** What kernels ask to find an element. */
  get numbers(): { readonly stride: number; readonly scalesAt: number } {
    return { stride: this.layout.words / elementWords(this.form), scalesAt: this.layout.scalesAt };
  }

  free(): void {
    for (const { block } of this.parts) block.free();
  }
}

export const weightOf = ({ storage }: PackedWeight): WeightStorage => storage as WeightStorage;

/** How a kernel reads rows of `width` floats. */
export const rowsForm = (width: number): FloatsForm => (width % 4 === 0 ? 'fours' : 'rows');

/** A matrix of floats, [rows, depth]; or [depth, rows] where it is transposed. */
export interface Floats {
  readonly x: Operand | Block;
  readonly form: FloatsForm;
  readonly rows: number;
  readonly depth: number;
}

export function floatsOf(x: Operand, transposed = false): Floats {
  const [rows, depth] = transposed ? [x.shape[1], x.shape[0]] : x.shape;
  return { x, form: transposed ? 'columns' : rowsForm(depth), rows, depth };
}

export const blockFloats = (x: Block, rows: number, depth: number): Floats => ({
  x,
  form: rowsForm(depth),
  rows,
  depth,
});

/** Rows [first, first + count) of x. */
export const someRows = ({ storage, offset, shape, dtype }: Operand, first: number, count: number): Operand => ({
  storage,
  offset: offset + first * shape[1],
  shape: [count, shape[1]],
  dtype,
});
