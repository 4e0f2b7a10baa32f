/** Part of a matrix in float64: element (r, c) is `data[offset + r * rowStride + c * columnStride]`. */
export interface MatrixView {
  readonly data: Float64Array;
  readonly offset: number;
  readonly rowStride: number;
  readonly columnStride: number;
}

/** The part of a row-major matrix of rows of `width` that begins at (row, column). */
export const viewOf = (data: Float64Array, width: number, row = 0, column = 0): MatrixView => ({
  data,
  offset: row * width + column,
  rowStride: width,
  columnStride: 1,
});

export const transposed = ({ data, offset, rowStride, columnStride }: MatrixView): MatrixView => ({
  data,
  offset,
  rowStride: columnStride,
  columnStride: rowStride,
});

/** Size of the blocks that are copied at a time: the copies of both sides fit in a core's own cache. */
const block = { rows: 64, columns: 64, inner: 256 };
/** Rows and columns whose 16 sums stay in registers. */
const tile = 4;

/**
 * C -= A B for C [m, n], A [m, k], B [k, n]. Blocks of A and B are copied into the order in which the innermost loop
 * reads them (Goto and van de Geijn, 2008). C must not overlap what is read of A and B.
 */
export function subtractProduct(c: MatrixView, a: MatrixView, b: MatrixView, m: number, n: number, k: number): void {
  const left = new Float64Array(block.rows * block.inner);
  const right = new Float64Array(block.columns * block.inner);
  const sums = new Float64Array(tile * tile);
  const columnsOfB = transposed(b);
  for (let k0 = 0; k0 < k; k0 += block.inner) {
    const depth = Math.min(block.inner, k - k0);
    for (let n0 = 0; n0 < n; n0 += block.columns) {
      const columns = Math.min(block.columns, n - n0);
      copyStrips(columnsOfB, n0, columns, k0, depth, right);
      for (let m0 = 0; m0 < m; m0 += block.rows) {
        const rows = Math.min(block.rows, m - m0);
        copyStrips(a, m0, rows, k0, depth, left);
        for (let i = 0; i < rows; i += tile)
          for (let j = 0; j < columns; j += tile) {
            sumTile(left, i * depth, right, j * depth, depth, sums);
            const [height, width] = [Math.min(tile, rows - i), Math.min(tile, columns - j)];
            for (let r = 0; r < height; r++)
              for (let s = 0, at = address(c, m0 + i + r, n0 + j); s < width; s++, at += c.columnStride)
                c.data[at] -= sums[r * tile + s];
          }
      }
    }
  }
}

const address = ({ offset, rowStride, columnStride }: MatrixView, row: number, column: number): number =>
  offset + row * rowStride + column * columnStride;

/** Copies rows [first, first + rows) as strips of four: [rows / 4][depth][4], zeros behind the last row. */
function copyStrips(
  from: MatrixView,
  first: number,
  rows: number,
  k0: number,
  depth: number,
  into: Float64Array,
): void {
  const { data, columnStride } = from;
  for (let strip = 0; strip < rows; strip += tile)
    for (let r = 0; r < tile; r++) {
      let at = strip * depth + r;
      if (strip + r >= rows) for (let k = 0; k < depth; k++, at += tile) into[at] = 0;
      else
        for (let k = 0, source = address(from, first + strip + r, k0); k < depth; k++, at += tile) {
          into[at] = data[source];
          source += columnStride;
        }
    }
}

/** sums [4, 4] = sum over k of a[k, 4] x b[k, 4] */
function sumTile(a: Float64Array, i: number, b: Float64Array, j: number, depth: number, sums: Float64Array): void {
  let [s00, s01, s02, s03] = [0, 0, 0, 0];
  let [s10, s11, s12, s13] = [0, 0, 0, 0];
  let [s20, s21, s22, s23] = [0, 0, 0, 0];
  let [s30, s31, s32, s33] = [0, 0, 0, 0];
  for (let k = 0; k < depth; k++, i += tile, j += tile) {
    const a0 = a[i];
    const a1 = a[i + 1];
    const a2 = a[i + 2];
    const a3 = a[i + 3];
    const b0 = b[j];
    const b1 = b[j + 1];
    const b2 = b[j + 2];
    const b3 = b[j + 3];
    s00 += a0 * b0;
    s01 += a0 * b1;
    s02 += a0 * b2;
    s03 += a0 * b3;
    s10 += a1 * b0;
    s11 += a1 * b1;
    s12 += a1 * b2;
    s13 += a1 * b3;
    s20 += a2 * b0;
    s21 += a2 * b1;
    s22 += a2 * b2;
    s23 += a2 * b3;
    s30 += a3 * b0;
    s31 += a3 * b1;
    s32 += a3 * b2;
    s33 += a3 * b3;
  }
  sums[0] = s00;
  sums[1] = s01;
  sums[2] = s02;
  sums[3] = s03;
  sums[4] = s10;
  sums[5] = s11;
  sums[6] = s12;
  sums[7] = s13;
  sums[8] = s20;
  sums[9] = s21;
  sums[10] = s22;
  sums[11] = s23;
  sums[12] = s30;
  sums[13] = s31;
  sums[14] = s32;
  sums[15] = s33;
}
