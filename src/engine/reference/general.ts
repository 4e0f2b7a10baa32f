import { broadcastOf } from '../broadcast.js';
import { interpret, type Expression } from '../expression.js';
import { sizeOf } from '../tensor.js';
import type { Operand } from '../backend.js';
import { algebra } from './algebra.js';
import { flat, view, type Floats } from './view.js';

/** c[i, j] = sum_k a[i, k] b[k, j] */
export function matmul(lhs: Operand, rhs: Operand, transposeA: boolean, transposeB: boolean): Float32Array {
  const a = transposeA ? view(lhs).transpose(1, 0) : view(lhs);
  const b = transposeB ? view(rhs).transpose(1, 0) : view(rhs);
  const [m, k] = a.shape;
  const n = b.shape[1];
  const c = new Float32Array(m * n);
  for (let i = 0; i < m; i++)
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let p = 0; p < k; p++) sum += a.get(i, p) * b.get(p, j);
      c[i * n + j] = sum;
    }
  return c;
}

/** Rows of a table [rows, width] by index. */
export function gather(table: Floats, indices: Int32Array): Float32Array {
  const width = table.shape[1];
  return Float32Array.from({ length: indices.length * width }, (_, i) =>
    table.get(indices[Math.floor(i / width)], i % width),
  );
}

/** The expression of each element of x, and of the element of y that belongs to it. */
export function map(x: Operand, expression: Expression, y: Operand | undefined): Float32Array {
  const { width, rowStride, columnStride } = broadcastOf(x.shape, y?.shape)!;
  const second = y && flat(y);
  return flat(x).map((value, i) =>
    interpret(expression, algebra, value, second?.[Math.floor(i / width) * rowStride + (i % width) * columnStride]),
  );
}

/** Calls f with the elements along one axis of x [outer, size, inner], for every other position. */
function alongAxis(
  x: Operand,
  outer: number,
  size: number,
  inner: number,
  f: (line: number[], at: number) => void,
): void {
  const values = view(x, [outer, size, inner]);
  for (let o = 0; o < outer; o++)
    for (let i = 0; i < inner; i++)
      f(
        Array.from({ length: size }, (_, s) => values.get(o, s, i)),
        o * inner + i,
      );
}

export function softmax(x: Operand, outer: number, size: number, inner: number): Float32Array {
  const y = new Float32Array(sizeOf(x.shape));
  alongAxis(x, outer, size, inner, (line, at) => {
    const start = Math.floor(at / inner) * size * inner + (at % inner);
    softmaxOf(line).forEach((value, s) => (y[start + s * inner] = value));
  });
  return y;
}

export function softmaxOf(line: number[]): number[] {
  const most = Math.max(...line);
  const exponentials = line.map((value) => Math.exp(value - most));
  const total = exponentials.reduce((sum, value) => sum + value, 0);
  return exponentials.map((value) => value / total);
}

export function reduce(x: Operand, kind: 'sum' | 'mean', outer: number, size: number, inner: number): Float32Array {
  const y = new Float32Array(outer * inner);
  alongAxis(x, outer, size, inner, (line, at) => {
    const sum = line.reduce((total, value) => total + value, 0);
    y[at] = kind === 'sum' ? sum : sum / size;
  });
  return y;
}

export function argmax(x: Operand, outer: number, size: number, inner: number): Int32Array {
  const y = new Int32Array(outer * inner);
  alongAxis(x, outer, size, inner, (line, at) => (y[at] = line.indexOf(Math.max(...line))));
  return y;
}
