import { kernel, kernelModule, type Kernel, type Variable } from '../../compiler/kernel.js';
import { constant, load, type Int, type Value } from '../../compiler/language.js';
import {
  blockBytes,
  int4PanelRows,
  panelVectors as vectors,
  scaleBytes,
  stepBytes,
  zeroBytes,
} from '../../layouts/int4/int4Panels.js';
import { halfScale, halfScales, zeroPoints } from './int4Scale.js';
import { nibbleAt } from './nibbleDots.js';

export const int4Pack = kernelModule('int4Pack', () => ({
  /**
   * Panels from rows of nibbles, `rowBytes` apart (whole blocks of 16 bytes), and their scales [rows, groups].
   * Words of 8 weights of a panel's rows lie side by side; behind each group of `group` blocks its scales.
   */
  pack: kernel(
    { quants: 'i32', scales: 'i32', target: 'i32', panels: 'i32', blocks: 'i32', group: 'i32', groups: 'i32' },
    (k, { quants, scales, target, panels, blocks, group, groups }) => {
      const rowBytes = k.let(blocks.shiftLeft(4));
      const rowScales = k.let(groups.shiftLeft(1));
      k.repeat(panels, () => {
        const left = k.let(blocks);
        const [source, scale] = [k.let(quants), k.let(scales)];
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
            const row = k.let(scale);
            for (let lane = 0; lane < int4PanelRows; lane++) {
              k.store16(target, load.i16(row), 2 * lane);
              row.add(rowScales);
            }
            scale.add(2);
            target.add(scaleBytes);
            left.set(left.minus(count));
          },
        );
        quants.add(rowBytes.times(int4PanelRows));
        scales.add(rowScales.times(int4PanelRows));
      });
    },
  ),

  /** Panels as floats, each as panels [32 blocks][8] of 8 rows: scale * (q - zero). Without zero points `zeros` is 0. */
  dequantize: kernel(
    { source: 'i32', zeros: 'i32', target: 'i32', panels: 'i32', blocks: 'i32', group: 'i32' },
    (k, { source, zeros, target, panels, blocks, group }) => {
      const mask = k.let(constant('i32x4', 15));
      const scalesAt = halfScales(k);
      k.repeat(panels, () => {
        const left = k.let(blocks);
        const halves = [k.let(target), k.let(target.plus(blocks.times(32 * 32)))];
        k.while(
          () => left.differs(0),
          () => {
            const count = k.let(left.min(group));
            const zero = vectors.map(() => k.let(constant('i32x4', 8)));
            k.if(zeros.differs(0), () => {
              [0, 8].flatMap((at) => zeroPoints(k, zeros, at)).forEach((points, j) => zero[j].set(points));
              zeros.add(zeroBytes);
            });
            const end = k.let(source.plus(count.times(blockBytes)));
            const scales = vectors.map((j) => k.let(scalesAt(end, 8 * j)));
            k.while(
              () => source.differs(end),
              () => {
                vectors.forEach((j) => {
                  const q = k.let(load.f32x4(source, 16 * j).bits());
                  for (let at = 0; at < 8; at++)
                    k.store(
                      halves[j >> 1],
                      nibbleAt(q, at, mask)
                        .minus(zero[j])
                        .toFloat()
                        .times(scales[j] as Value<'f32x4'>),
                      32 * at + 16 * (j % 2),
                    );
                });
                source.add(stepBytes);
                for (const half of halves) half.add(8 * 32);
              },
            );
            source.add(scaleBytes);
            left.set(left.minus(count));
          },
        );
        target.set(halves[1]);
      });
    },
  ),

  /** Rows `ids` as floats, to [count, width]. `group` in floats, `panelStride` in bytes. */
  gather: kernel(
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
            const scale = k.let(halfScale(k, source.plus(bytes).plus(lane.shiftLeft(1))));
            const zero = k.let(constant('i32', 8));
            k.if(zeros.differs(0), () => {
              zero.set(load.i8(zeroAt));
              zeroAt.add(zeroBytes);
            });
            gatherGroup(k, source.plus(lane.shiftLeft(2)), size, target, scale, zero);
            source.add(bytes.plus(scaleBytes));
            left.set(left.minus(size));
          },
        );
        ids.add(4);
      }),
  ),
}));

/** `size` weights of one row, from words of 8. */
function gatherGroup(k: Kernel, from: Int, size: Int, target: Variable<'i32'>, scale: Value<'f32'>, zero: Int): void {
  const words = k.let(from);
  const left = k.let(size);
  k.while(
    () => left.differs(0),
    () => {
      const word = k.let(load.i32(words));
      const count = k.let(left.min(8));
      k.repeat(count, () => {
        k.store(target, word.and(15).minus(zero).toFloat().times(scale) as Value<'f32'>);
        word.set(word.shiftRight(4));
        target.add(4);
      });
      words.add(stepBytes);
      left.set(left.minus(count));
    },
  );
}
