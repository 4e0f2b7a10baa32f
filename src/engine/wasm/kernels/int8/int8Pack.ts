import { kernel, kernelModule } from '../../compiler/kernel.js';
import { load, type Value } from '../../compiler/language.js';
import { int8PanelRows, scaleBytes, stepBytes } from '../../layouts/int8/int8Panels.js';
import { halfScale } from '../int4/int4Scale.js';

export const int8Pack = kernelModule('int8Pack', () => ({
  /**
   * Panels from rows of `groups` whole groups of `groupSize` bytes and their scales [rows, groups]: two weights of each of
   * a panel's rows lie side by side; behind each group its scales.
   */
  pack: kernel(
    { quants: 'i32', scales: 'i32', target: 'i32', panels: 'i32', groupSize: 'i32', groups: 'i32' },
    (k, { quants, scales, target, panels, groupSize, groups }) => {
      const rowBytes = k.let(groups.times(groupSize));
      const rowScales = k.let(groups.shiftLeft(1));
      k.repeat(panels, () => {
        const [source, scale] = [k.let(quants), k.let(scales)];
        k.repeat(groups, () => {
          k.repeat(groupSize.shiftRight(2), () => {
            const row = k.let(source);
            for (let lane = 0; lane < int8PanelRows; lane++) {
              const four = k.let(load.i32(row));
              k.store16(target, four, 2 * lane);
              k.store16(target, four.shiftRight(16), 2 * lane + stepBytes);
              row.add(rowBytes);
            }
            source.add(4);
            target.add(2 * stepBytes);
          });
          const row = k.let(scale);
          for (let lane = 0; lane < int8PanelRows; lane++) {
            k.store16(target, load.i16(row), 2 * lane);
            row.add(rowScales);
          }
          scale.add(2);
          target.add(scaleBytes);
        });
        quants.add(rowBytes.times(int8PanelRows));
        scales.add(rowScales.times(int8PanelRows));
      });
    },
  ),

  /** Rows `ids` as floats, to [count, width]. */
  gather: kernel(
    { panels: 'i32', ids: 'i32', target: 'i32', count: 'i32', width: 'i32', groupSize: 'i32', panelStride: 'i32' },
    (k, { panels, ids, target, count, width, groupSize, panelStride }) => {
      const weightBytes = k.let(groupSize.times(int8PanelRows));
      k.repeat(count, () => {
        const id = k.let(load.i32(ids));
        const lane = k.let(id.remainder(int8PanelRows).shiftLeft(1));
        const group = k.let(panels.plus(id.over(int8PanelRows).times(panelStride)).plus(lane));
        const left = k.let(width);
        k.while(
          () => left.differs(0),
          () => {
            const size = k.let(left.min(groupSize));
            const scale = k.let(halfScale(k, group.plus(weightBytes)));
            k.for(0, size, 1, (at) => {
              const weight = load.i8Signed(group.plus(at.shiftRight(1).times(stepBytes)).plus(at.and(1)));
              k.store(target, weight.toFloat().times(scale) as Value<'f32'>);
              target.add(4);
            });
            group.add(weightBytes.plus(scaleBytes));
            left.set(left.minus(size));
          },
        );
        ids.add(4);
      });
    },
  ),
}));
