import type { Int4Source } from '../../engine/index.js';
import {
  allRows,
  checkDivides,
  groupCount,
  madeTensors,
  middles,
  turnedGroups,
  wordsShape,
  type Int4Layout,
  type Parts,
} from './layout.js';
import {
  bytesOfWords,
  packed,
  quantsOfWords,
  transposed,
  transposedNibbles,
  unpacked,
  wordsOfBytes,
  wordsOfQuants,
  type Order,
} from './nibbleWords.js';
import { StoredInt4, turnedScales, wholeMatrix } from './storedInt4.js';

/** The output channel of each integer of a word, within its eight. */
export const awqOrder: Order = [0, 2, 4, 6, 1, 3, 5, 7];

/**
 * AutoAWQ's `gemm` (docs/formats.md, 'AWQ files'): `qweight` [in, out / 8], eight outputs a word in AWQ's order;
 * `qzeros` [groups, out / 8] likewise; `scales` [groups, out].
 */
export const awqLayout = ({ groupSizes }: { groupSizes: readonly number[] }): Int4Layout => ({
  parts: ['qweight', 'qzeros', 'scales'],
  required: 3,
  open: async (parts) => open(parts, groupSizes),
  write,
});

function open(parts: Parts, groupSizes: readonly number[]): StoredInt4 {
  const [width, across] = wordsShape(parts, 'qweight');
  const out = 8 * across;
  const { count, size, scaleDType } = turnedGroups(parts, [out, width], groupSizes);
  const whole = async (): Promise<Uint8Array> =>
    quantsOfWords(
      transposedNibbles(wordsOfBytes(await parts.read('qweight')), width, across, { taken: awqOrder }),
      width,
    );
  return new StoredInt4(parts.name, [out, width], {
    groupSize: size,
    groups: async () => ({
      count,
      size,
      scales: turnedScales({ dtype: scaleDType, bytes: await parts.read('scales') }, count, out),
      scaleDType,
      zeros: transposed(unpacked(wordsOfBytes(await parts.read('qzeros')), awqOrder), count, out),
    }),
    quants: wholeMatrix(out, Math.ceil(width / 2), whole),
  });
}

function write(source: Int4Source, groupSize: number): ReturnType<Int4Layout['write']> {
  checkDivides('AWQ', source, groupSize, { out: 8 });
  const [out, width] = source.shape;
  const count = groupCount(width, groupSize);
  const make = async (): Promise<Record<string, Uint8Array>> => {
    const { quants, scales, zeros = middles(out * count) } = await allRows(source, groupSize);
    const across = Math.ceil(width / 8);
    const turned = transposedNibbles(wordsOfQuants(quants, width), out, across, { given: awqOrder });
    return {
      qweight: bytesOfWords(turned.subarray(0, (width * out) / 8)),
      qzeros: bytesOfWords(packed(transposed(zeros, out, count), awqOrder)),
      scales: bytesOfWords(transposed(scales, out, count)),
    };
  };
  return madeTensors(source.name, make, [
    { part: 'qweight', dtype: 'I32', shape: [width, out / 8], large: true },
    { part: 'qzeros', dtype: 'I32', shape: [count, out / 8] },
    { part: 'scales', dtype: 'F16', shape: [count, out] },
  ]);
}
