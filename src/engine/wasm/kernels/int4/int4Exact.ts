import { fusibleModule, kernel, type Variable } from '../../compiler/kernel.js';
import { constant, load, multiplyAddIf, type Value } from '../../compiler/language.js';
import {
  blockBytes,
  blockWidth,
  int4PanelRows,
  panelVectors as vectors,
  scaleBytes,
  stepBytes,
  tailBytes,
  zeroBytes,
} from '../../layouts/int4/int4Panels.js';
import { halfScales, zeroPoints } from './int4Scale.js';
import { nibbleAt, type Ints } from './nibbleDots.js';

/**
 * y[16 panel + lane] for panels [from, to) of int4 weights and one row of float32 activations: the same bits as `gemm` on
 * the dequantized weight. scale * q - scale * zero is exact in float32, fused or not, since a scale has 11 bits and q 4.
 * With minima, scale * q is exact and the sum rounds once, fused or not. `depth` and `part` are in weights, `group` in blocks; without zero points `zeros` is 0.
 */
export const int4Exact = fusibleModule('int4Exact', (fused) => ({
  exactRow: exactRow(fused, false),
  exactRowMinima: exactRow(fused, true),
}));

const exactRow = (fused: boolean, minima: boolean) =>
  kernel(
    {
      panels: 'i32',
      zeros: 'i32',
      x: 'i32',
      y: 'i32',
      from: 'i32',
      to: 'i32',
      stride: 'i32',
      group: 'i32',
      groups: 'i32',
      depth: 'i32',
      part: 'i32',
    },
    (k, { panels, zeros, x, y, from, to, stride, group, groups, depth, part }) => {
      const sumUp = multiplyAddIf(fused);
      const mask = k.let(constant('i32x4', 15));
      const scalesAt = halfScales(k);
      const panel = k.let(panels.plus(from.times(stride)));
      const zeroAt = k.let(zeros.plus(from.times(groups).times(zeroBytes)));
      const out = k.let(y.plus(from.times(4 * int4PanelRows)));
      const width = k.let(group.times(blockWidth));
      k.repeat(to.minus(from), () => {
        const results = vectors.map(() => k.let(constant('f32x4', 0)));
        const totals = vectors.map(() => k.let(constant('f32x4', 0)));
        const [w, xAt] = [k.let(panel), k.let(x)];
        const [left, partLeft] = [k.let(depth), k.let(part)];
        /** Adds a finished part of the depth to the results. */
        const join = (): void => {
          results.forEach((result, j) => {
            result.add(totals[j]);
            totals[j].set(constant('f32x4', 0));
          });
          partLeft.set(part);
        };

        const oneGroup = (): void => {
          const inGroup = k.let(left.min(width));
          left.set(left.minus(inGroup));
          const blocks = inGroup.plus(blockWidth - 1).over(blockWidth);
          const end = k.let(w.plus(blocks.times(blockBytes)));
          const scales = vectors.map((j) => k.let(scalesAt(end, 8 * j)));
          const offsets = minima
            ? vectors.map((j) => k.let(scalesAt(end, scaleBytes + 8 * j).times(-1)))
            : scales.map((scale) => k.let(scale.times(-8)));
          if (!minima)
            k.if(zeros.differs(0), () => {
              [0, 8]
                .flatMap((at) => zeroPoints(k, zeroAt, at))
                .forEach((zero, j) => offsets[j].set((zero.toFloat() as Value<'f32x4'>).times(scales[j]).times(-1)));
              zeroAt.add(zeroBytes);
            });
          const words = (): Variable<'i32x4'>[] => vectors.map((j) => k.let(load.f32x4(w, 16 * j).bits()));
          const add = (q: Ints, value: Value<'f32x4'>, j: number): void =>
            totals[j].set(sumUp(value, sumUp(q.toFloat() as Value<'f32x4'>, scales[j], offsets[j]), totals[j]));

          const wholeWords = (): void => {
            const whole = k.let(inGroup.min(partLeft).and(-8));
            inGroup.set(inGroup.minus(whole));
            partLeft.set(partLeft.minus(whole));
            const until = k.let(w.plus(whole.times(stepBytes / 8)));
            k.while(
              () => w.differs(until),
              () => {
                const q = words();
                for (let at = 0; at < 8; at++) {
                  const value = k.let(load.f32Splat(xAt, 4 * at));
                  vectors.forEach((j) => add(nibbleAt(q[j], at, mask), value, j));
                }
                w.add(stepBytes);
                xAt.add(32);
              },
            );
            k.if(partLeft.equals(0), join);
          };

          /** A word within which the depth, or a part of it, ends. */
          const splitWord = (): void => {
            const count = k.let(inGroup.min(8));
            const q = words();
            k.repeat(count, () => {
              const value = k.let(load.f32Splat(xAt));
              vectors.forEach((j) => {
                add(nibbleAt(q[j], 0, mask), value, j);
                q[j].set(q[j].shiftRight(4));
              });
              xAt.add(4);
              partLeft.set(partLeft.minus(1));
              k.if(partLeft.equals(0), join);
            });
            inGroup.set(inGroup.minus(count));
            w.add(stepBytes);
          };

          k.while(
            () => inGroup.differs(0),
            () => {
              wholeWords();
              k.if(inGroup.differs(0).and(inGroup.min(partLeft).less(8)), splitWord);
            },
          );
          w.set(end.plus(tailBytes(minima)));
        };

        k.while(() => left.differs(0), oneGroup);
        join();
        results.forEach((result, j) => k.store(out, result, 16 * j));
        panel.add(stride);
        out.add(4 * int4PanelRows);
      });
    },
  );
