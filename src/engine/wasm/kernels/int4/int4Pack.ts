import { kernel, kernelModule, type Kernel, type Variable } from '../../compiler/kernel.js';
import { constant, load, type Int, type Value } from '../../compiler/language.js';
import {
  blockBytes,
  int4PanelRows,
  panelVectors as vectors,
  scaleBytes,
  stepBytes,
  tailBytes,
  zeroBytes,
} from '../../layouts/int4/int4Panels.js';
import { halfScale, halfScales, zeroPoints } from './int4Scale.js';
import { nibbleAt, type Ints } from './nibbleDots.js';

const dequantize = (minima: boolean) =>
  kernel(
    { source: 'i32', zeros: 'i32', target: 'i32', panels: 'i32', blocks: 'i32', group: 'i32' },
    (k, { source, zeros, target, panels, blocks, group }) => {
      const mask = k.let(constant('i32x4', 15));
      const scalesAt = halfScales(k);
      /**
       * How the nibbles of a group, which ends at `end`, become weights: q - zero, times the scale, or q times the scale,
       * less what the file adds.
       */
      const offsetsOf = (end: Int): ((q: Ints, scale: Value<'f32x4'>, j: number) => Value<'f32x4'>) => {
        if (minima) {
          const offset = vectors.map((j) => k.let(scalesAt(end, scaleBytes + 8 * j)));
          return (q, scale, j) => q.toFloat().times(scale).minus(offset[j]) as Value<'f32x4'>;
        }
        const zero = vectors.map(() => k.let(constant('i32x4', 8)));
        k.if(zeros.differs(0), () => {
          [0, 8].flatMap((at) => zeroPoints(k, zeros, at)).forEach((points, j) => zero[j].set(points));
          zeros.add(zeroBytes);
        });
        return (q, scale, j) => q.minus(zero[j]).toFloat().times(scale) as Value<'f32x4'>;
      };
      k.repeat(panels, () => {
        const left = k.let(blocks);
        const halves = [k.let(target), k.let(target.plus(blocks.times(32 * 32)))];
        k.while(
          () => left.differs(0),
          () => {
            const count = k.let(left.min(group));
            const end = k.let(source.plus(count.times(blockBytes)));
            const offsets = offsetsOf(end);
            const scales = vectors.map((j) => k.let(scalesAt(end, 8 * j)));
            k.while(
              () => source.differs(end),
              () => {
                vectors.forEach((j) => {
                  const q = k.let(load.f32x4(source, 16 * j).bits());
                  for (let at = 0; at < 8; at++)
                    k.store(halves[j >> 1], offsets(nibbleAt(q, at, mask), scales[j], j), 32 * at + 16 * (j % 2));
                });
                source.add(stepBytes);
                for (const half of halves) half.add(8 * 32);
              },
            );
            source.add(tailBytes(minima));
            left.set(left.minus(count));
          },
        );
        target.set(halves[1]);
      });
    },
  );

const gather = (minima: boolean) =>
  kernel(
    {
      panels: 'i32',
      zeros: 'i32',
      ids: 'i32',
      target: 'i32',
      count: 'i32',
      width: 'i32',
      group: 'i32',
      groups: 'i32',
      panelStride: 'i32',
    },
    (k, { panels, zeros, ids, target, count, width, group, groups, panelStride }) =>
      k.repeat(count, () => {
        const id = k.let(load.i32(ids));
        const [panel, lane] = [k.let(id.over(int4PanelRows)), k.let(id.remainder(int4PanelRows))];
        const source = k.let(panels.plus(panel.times(panelStride)));
        const zeroAt = k.let(zeros.plus(panel.times(groups).times(zeroBytes)).plus(lane));
        const left = k.let(width);
        k.while(
          () => left.differs(0),
          () => {
            const size = k.let(left.min(group));
            const bytes = k.let(size.plus(31).shiftRight(5).times(blockBytes));
            const scaleAt = k.let(source.plus(bytes).plus(lane.shiftLeft(1)));
            const scale = k.let(halfScale(k, scaleAt));
            const from = source.plus(lane.shiftLeft(2));
            if (minima) {
              const offset = k.let(halfScale(k, scaleAt.plus(scaleBytes)));
              gatherGroup(k, from, size, target, (q) => q.toFloat().times(scale).minus(offset) as Value<'f32'>);
            } else {
              const zero = k.let(constant('i32', 8));
              k.if(zeros.differs(0), () => {
                zero.set(load.i8(zeroAt));
                zeroAt.add(zeroBytes);
              });
              gatherGroup(k, from, size, target, (q) => q.minus(zero).toFloat().times(scale) as Value<'f32'>);
            }
            source.add(bytes.plus(tailBytes(minima)));
            left.set(left.minus(size));
          },
        );
        ids.add(4);
      }),
  );

export const int4Pack = kernelModule('int4Pack', () => ({
  /**
   * Panels from rows of nibbles, `rowBytes` apart (whole blocks of 16 bytes), their scales [rows, groups], and their
   * minima unless `minima` is 0. Words of 8 weights of a panel's rows lie side by side; behind each group of `group`
   * blocks its scales and minima.
   */
  pack: kernel(
    {
      quants: 'i32',
      scales: 'i32',
      minima: 'i32',
      target: 'i32',
      panels: 'i32',
      blocks: 'i32',
      group: 'i32',
      groups: 'i32',
    },
    (k, { quants, scales, minima, target, panels, blocks, group, groups }) => {
      const rowBytes = k.let(blocks.shiftLeft(4));
      const rowScales = k.let(groups.shiftLeft(1));
      k.repeat(panels, () => {
        const left = k.let(blocks);
        const [source, scale, minimum] = [k.let(quants), k.let(scales), k.let(minima)];
        const factors = (from: Variable<'i32'>): void => {
          const row = k.let(from);
          for (let lane = 0; lane < int4PanelRows; lane++) {
            k.store16(target, load.i16(row), 2 * lane);
            row.add(rowScales);
          }
          from.add(2);
          target.add(scaleBytes);
        };
        k.while(
          () => left.differs(0),
          () => {
            const count = k.let(left.min(group));
            k.repeat(count.shiftLeft(2), () => {
              const row = k.let(source);
              for (let lane = 0; lane < int4PanelRows; lane++) {
                k.store(target, load.i32(row), 4 * lane);
                row.add(rowBytes);
              }
              source.add(4);
              target.add(stepBytes);
            });
            factors(scale);
            k.if(minima.differs(0), () => factors(minimum));
            left.set(left.minus(count));
          },
        );
        quants.add(rowBytes.times(int4PanelRows));
        scales.add(rowScales.times(int4PanelRows));
        k.if(minima.differs(0), () => minima.add(rowScales.times(int4PanelRows)));
      });
    },
  ),

  /** Panels as floats, each as panels [32 blocks][8] of 8 rows: scale * (q - zero). Without zero points `zeros` is 0. */
  dequantize: dequantize(false),
  /** scale * q - offset; `zeros` is 0. */
  dequantizeMinima: dequantize(true),

  /** Rows `ids` as floats, to [count, width]. `group` in floats, `panelStride` in bytes. */
  gather: gather(false),
  gatherMinima: gather(true),
}));

/** `size` weights of one row, from words of 8. */
function gatherGroup(k: Kernel, from: Int, size: Int, target: Variable<'i32'>, weight: (q: Int) => Value<'f32'>): void {
  const words = k.let(from);
  const left = k.let(size);
  k.while(
    () => left.differs(0),
    () => {
      const word = k.let(load.i32(words));
      const count = k.let(left.min(8));
      k.repeat(count, () => {
        k.store(target, weight(word.and(15)));
        word.set(word.shiftRight(4));
        target.add(4);
      });
      words.add(stepBytes);
      left.set(left.minus(count));
    },
  );
}
