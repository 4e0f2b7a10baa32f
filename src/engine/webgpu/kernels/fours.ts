/** What a kernel reads a matrix by: a function that gives elements 4 `at` to 4 `at` + 3 of a row. */
import type { Piece } from '../compiler/kernel.js';
import { halves } from '../compiler/halves.js';
import type { TilePlan } from '../layouts/tilePlan.js';
import { elementOf, formName, type WeightForm } from '../layouts/weightRows.js';

/** Rows of floats, whose width is a multiple of four or not; or columns: element i of row r is at i * rows + r. */
export type FloatsForm = 'fours' | 'rows' | 'columns';
export type MatrixForm = FloatsForm | WeightForm;

export const matrixName = (form: MatrixForm): string => (typeof form === 'string' ? form : formName(form));

/** The type of a buffer's elements. */
export const bufferType = (form: MatrixForm): string =>
  typeof form === 'string' ? (form === 'fours' ? 'vec4f' : 'f32') : elementOf(form);

/** A function `name(row, at)` over the buffer `buffer`. */
export function fours(name: string, buffer: string, form: MatrixForm, plan: Pick<TilePlan, 'halves'>): Piece[] {
  if (typeof form === 'string') return [{ code: floatsCode(name, buffer, form) }];
  const body = weightCode(buffer, form, plan);
  return [halves, { code: `fn ${name}(row: u32, at: u32) -> vec4f {\n${body}\n}` }];
}

/** Elements beyond the width are 0. Needs the number `depth`, and for columns `leftRows` or `rightRows`, by its name. */
function floatsCode(name: string, buffer: string, form: FloatsForm): string {
  const head = `fn ${name}(row: u32, at: u32) -> vec4f {`;
  if (form === 'fours') return `${head} return ${buffer}[row * (numbers.depth / 4u) + at]; }`;
  const index = form === 'rows' ? 'row * numbers.depth + i' : `i * numbers.${name}Rows + row`;
  return `fn ${name}One(row: u32, i: u32) -> f32 {
  if (i < numbers.depth) { return ${buffer}[${index}]; }
  return 0.0;
}
${head}
  let i = 4u * at;
  return vec4f(${[0, 1, 2, 3].map((j) => `${name}One(row, i + ${j}u)`).join(', ')});
}`;
}

/** Needs the numbers `stride` (of a row, in the buffer's elements) and `scalesAt`. */
function weightCode(buffer: string, form: WeightForm, { halves: by }: Pick<TilePlan, 'halves'>): string {
  const half = by === 'native' ? 'unpack2x16float' : 'floatsOf';
  const base = 'let base = row * numbers.stride;';
  // Scales lie two in a word.
  const scale = (groupFours: number): string => `
  let group = at / ${groupFours}u;
  let two = ${half}(${buffer}[base + numbers.scalesAt + (group >> 1u)]);
  let scale = select(two.x, two.y, (group & 1u) == 1u);`;
  switch (form.kind) {
    case 'float32':
      return `return bitcast<vec4f>(${buffer}[row * numbers.stride + at]);`;
    case 'float16':
      return `let word = ${buffer}[row * numbers.stride + at];
  return vec4f(${half}(word.x), ${half}(word.y));`;
    case 'bfloat16':
      return `let word = ${buffer}[row * numbers.stride + at];
  return bitcast<vec4f>(vec4u(word.x << 16u, word.x & 0xffff0000u, word.y << 16u, word.y & 0xffff0000u));`;
    case 'int8':
      return `${base}
  let word = bitcast<i32>(${buffer}[base + at]);
  let q = vec4f(vec4i(word << 24u, word << 16u, word << 8u, word) >> vec4u(24u));${scale(form.groupSize / 4)}
  return scale * q;`;
    case 'int4': {
      const q = `${base}
  let word = ${buffer}[base + (at >> 1u)] >> (16u * (at & 1u));
  let q = vec4f((vec4u(word) >> vec4u(0u, 4u, 8u, 12u)) & vec4u(15u));`;
      if (form.offsets === 'middle') return `${q}${scale(form.groupSize / 4)}\n  return scale * (q - 8.0);`;
      const pair = `${q}
  let pair = ${buffer}[base + numbers.scalesAt + at / ${form.groupSize / 4}u];
  let scale = ${half}(pair).x;`;
      return form.offsets === 'zeros'
        ? `${pair}\n  return scale * (q - f32(pair >> 16u));`
        : `${pair}\n  return scale * q + ${half}(pair).y;`;
    }
  }
}
