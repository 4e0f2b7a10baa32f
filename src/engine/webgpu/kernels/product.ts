/**
 * Products of matrices, y[r, c] = sum_k left[r, k] right[c, k]. Either side may be floats or a weight in any form, which
 * is unpacked as it is read. Sums are float32.
 */
import { each, fold, subgroupSum } from '../compiler/fold.js';
import { kernel, type Kernel, type NumberType, type Piece } from '../compiler/kernel.js';
import { runningSum } from '../compiler/runningSum.js';
import type { TilePlan } from '../layouts/tilePlan.js';
import { bufferType, fours, matrixName, type FloatsForm, type MatrixForm } from './fours.js';
import { once } from './once.js';
import { tileOf } from './visits.js';

/** What is done with a sum. */
export interface ProductSpec {
  readonly left: FloatsForm;
  readonly right: MatrixForm;
  readonly bias?: boolean;
  /** Another tensor of y's shape is added. */
  readonly add?: boolean;
  /** Row r is what the expert `chosen[r]` gives of left's row r / `leftRepeats`; 'sorted' where visits were sorted. */
  readonly routed?: 'each' | 'sorted';
  /** Sums go to running sums instead. */
  readonly running?: boolean;
}

/** The buffers and numbers that a product may have; those that its spec does not name are not asked for. */
export type ProductKernel = Kernel<ProductBuffer, ProductNumber>;
export type ProductBuffer = 'x' | 'w' | 'bias' | 'added' | 'chosen' | 'order' | 'starts' | 'y' | 'sums';
export type ProductNumber =
  | 'rows'
  | 'depth'
  | 'columns'
  | 'firstColumn'
  | 'first'
  | 'count'
  | 'stride'
  | 'scalesAt'
  | 'leftRows'
  | 'rightRows'
  | 'leftRepeats'
  | 'experts'
  | 'zero';

const numbers: Readonly<Record<ProductNumber, NumberType>> = {
  rows: 'u32',
  depth: 'u32',
  /** Of y. */
  columns: 'u32',
  /** The first column that is computed here. */
  firstColumn: 'u32',
  /** The row of the weight at which its part begins, and how many rows the part has. */
  first: 'u32',
  count: 'u32',
  stride: 'u32',
  scalesAt: 'u32',
  leftRows: 'u32',
  rightRows: 'u32',
  leftRepeats: 'u32',
  /** How many there are. */
  experts: 'u32',
  zero: 'u32',
};

const nameOf = ({ left, right, ...flags }: ProductSpec, plan: TilePlan): string =>
  [
    left,
    matrixName(right),
    ...Object.entries(flags).flatMap(([flag, on]) => (on ? `${flag} ${on}` : [])),
    plan.name,
  ].join(' ');

const declared = ({ left, right, bias, add, routed, running }: ProductSpec) => ({
  reads: {
    x: bufferType(left),
    w: bufferType(right),
    ...(bias && { bias: 'f32' }),
    ...(add && { added: 'f32' }),
    ...(routed === 'each' && { chosen: 'u32' }),
    ...(routed === 'sorted' && { order: 'u32', starts: 'u32' }),
  } as Readonly<Record<Exclude<ProductBuffer, 'y' | 'sums'>, string>>,
  writes: { ...(running ? { sums: 'vec2f' } : { y: 'f32' }) } as Readonly<Record<'y' | 'sums', string>>,
  numbers,
});

/** Stores sums of row `row`: `column` of y, a row of whose weight is `weightRow` of this part. */
function store({ bias, add, running }: ProductSpec): Piece {
  const index = 'let at = row * numbers.columns + column;';
  const value = ['sum', bias ? 'bias[column]' : '', add ? 'added[at]' : ''].filter(Boolean).join(' + ');
  return {
    code: `fn store(row: u32, column: u32, sum: f32) { ${index} ${running ? 'addTo(at, sum);' : `y[at] = ${value};`} }`,
  };
}

const pieces = (spec: ProductSpec, plan: TilePlan): Piece[] => [
  ...(spec.running ? [runningSum] : []),
  ...fours('left', 'x', spec.left, plan),
  ...fours('right', 'w', spec.right, plan),
  store(spec),
];

/** Rows enough for tiles: each lane computes some rows and columns, of elements that lie in shared memory. */
export const tileProduct = once(nameOf, (spec: ProductSpec, plan: TilePlan): ProductKernel => {
  const { rowsEach, columnsEach, rowLanes, columnLanes, steps } = plan;
  const lanes = rowLanes * columnLanes;
  const [tileRows, tileColumns] = [rowsEach * rowLanes, columnsEach * columnLanes];
  const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
  const fill = (tile: string, side: string, size: number, row: (i: string) => string): string => `
    for (var j = lane; j < ${size * steps}u; j += ${lanes}u) {
      let at = start + j % ${steps}u;
      ${tile}[j] = vec4f();
      if (at < steps) { ${tile}[j] = ${side}(${row(`j / ${steps}u`)}, at); }
    }`;
  const sorted = spec.routed === 'sorted';
  /** The row of the left side, and of the weight's part, that row and column `i` of the tile are. */
  const leftRow = (i: string): string =>
    sorted ? `order[min(row + ${i}, end - 1u)] / leftRepeats` : `min(row + ${i}, end - 1u)`;
  const rightRow = (i: string): string => `min(weightRow + ${i}, count - 1u)`;
  const sums = range(rowsEach).flatMap((i) => range(columnsEach).map((j) => [i, j] as const));
  return kernel(
    nameOf(spec, plan),
    {
      ...declared(spec),
      lanes,
      pieces: [
        {
          shared: {
            leftTile: `array<vec4f, ${tileRows * steps}>`,
            rightTile: `array<vec4f, ${tileColumns * steps}>`,
          },
        },
        ...(sorted ? [tileOf] : []),
        ...pieces(spec, plan),
      ],
    },
    `
  let steps = (depth + 3u) / 4u;
  let tiles = (${sorted ? 'columns' : 'count'} + ${tileColumns - 1}u) / ${tileColumns}u;
  let column = ${tileColumns}u * (group % tiles);
  ${
    sorted
      ? `let visit = tileOf(group / tiles, ${tileRows}u);
  let row = visit.y;
  let end = visit.z;
  if (row == end) { return; }
  // The first column's row in this part of the weight; another part's lie before it or beyond its end.
  let weightRow = column + visit.x * columns - first;`
      : `let row = ${tileRows}u * (group / tiles);
  let end = rows;
  let weightRow = column;`
  }
  let r = lane / ${columnLanes}u;
  let c = lane % ${columnLanes}u;
  ${sums.map(([i, j]) => `var sum${i}${j} = 0.0;`).join(' ')}
  for (var start = 0u; start < steps; start += ${steps}u) {
    workgroupBarrier();
    ${fill('leftTile', 'left', tileRows, leftRow)}
    ${fill('rightTile', 'right', tileColumns, rightRow)}
    workgroupBarrier();
    for (var k = 0u; k < ${steps}u; k++) {
      ${range(rowsEach)
        .map((i) => `let a${i} = leftTile[(r + ${i * rowLanes}u) * ${steps}u + k];`)
        .join(' ')}
      ${range(columnsEach)
        .map((j) => `let b${j} = rightTile[(c + ${j * columnLanes}u) * ${steps}u + k];`)
        .join(' ')}
      ${sums.map(([i, j]) => `sum${i}${j} += dot(a${i}, b${j});`).join(' ')}
    }
  }
  ${sums
    .map(([i, j]) => {
      const [ofRow, ofColumn] = [`r + ${i * rowLanes}u`, `c + ${j * columnLanes}u`];
      const inside = `row + ${ofRow} < end && weightRow + ${ofColumn} < count${sorted ? ` && column + ${ofColumn} < columns` : ''}`;
      const at = sorted ? `order[row + ${ofRow}]` : `row + ${ofRow}`;
      return `if (${inside}) { store(${at}, firstColumn + column + ${ofColumn}, sum${i}${j}); }`;
    })
    .join('\n  ')}`,
  );
});

/** Few rows: the lanes of a workgroup share some columns, each lane a part of the inner axis. `together` rows at once. */
export const rowProduct = once(
  (spec: ProductSpec, plan: TilePlan, together: number) => `${together} ${nameOf(spec, plan)}`,
  (spec: ProductSpec, plan: TilePlan, together: number): ProductKernel => {
    const { sharingLanes: lanes, sharedColumns, folds } = plan;
    const total = folds === 'memory' ? fold('sum', 'total', 'vec4f', lanes) : subgroupSum('total', 'vec4f', lanes);
    const rows = Array.from({ length: together }, (_, i) => i);
    const columns = Array.from({ length: sharedColumns }, (_, j) => j);
    const { routed } = spec;
    return kernel(
      `row ${nameOf(spec, plan)}`,
      { ...declared(spec), lanes, pieces: [total, ...pieces(spec, plan)] },
      `
  let steps = (depth + 3u) / 4u;
  let sets = (${routed ? 'columns' : 'count'} + ${sharedColumns - 1}u) / ${sharedColumns}u;
  let row = ${together}u * (group / sets);
  let column = ${sharedColumns}u * (group % sets);
  // The first column's row in this part of the weight; another part's lie before it or beyond its end.
  let weightRow = column${routed ? ' + chosen[row] * columns - first' : ''};
  ${columns.map((j) => `let w${j} = min(weightRow + ${j}u, count - 1u);`).join(' ')}
  ${rows.map((i) => `let x${i} = min(row + ${i}u, rows - 1u)${routed ? ' / leftRepeats' : ''}; var sums${i} = vec4f();`).join(' ')}
  ${each(
    'steps',
    lanes,
    (at) => `
    ${columns.map((j) => `let b${j} = right(w${j}, ${at});`).join(' ')}
    ${rows
      .map(
        (i) =>
          `let a${i} = left(x${i}, ${at}); sums${i} += vec4f(${columns.map((j) => `dot(a${i}, b${j})`).join(', ')});`,
      )
      .join('\n    ')}`,
  )}
  ${rows
    .map(
      (i) => `let all${i} = total(sums${i}, lane);
  if (lane < ${sharedColumns}u && row + ${i}u < rows && weightRow + lane < count${routed ? ' && column + lane < columns' : ''}) { store(row + ${i}u, firstColumn + column + lane, all${i}[lane]); }`,
    )
    .join('\n  ')}`,
    );
  },
);
