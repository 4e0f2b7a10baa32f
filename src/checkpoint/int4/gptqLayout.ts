import { UserError, middle, type Int4Source } from '../../engine/index.js';
import {
  allRows,
  checkDivides,
  expectGroupIndices,
  groupCount,
  madeTensors,
  middles,
  partName,
  turnedGroups,
  wordsShape,
  type Int4Layout,
  type Parts,
} from './layout.js';
import {
  bytesOfWords,
  packed,
  transposed,
  transposedWords,
  unpacked,
  wordsOfBytes,
  wordsOfQuants,
} from './nibbleWords.js';
import { StoredInt4, turnedScales, unordered, wholeMatrix } from './storedInt4.js';

/**
 * GPTQ (docs/formats.md, 'GPTQ files'): `qweight` [in / 8, out], eight inputs a word; `qzeros` [groups, out / 8];
 * `scales` [groups, out]; `g_idx` [in], each input's group. Version 1 stores zero points less one, version 2 as they
 * are.
 */
export const gptqLayout = ({ version, groupSizes, symmetric = false }: GptqStorage): Int4Layout => ({
  parts: ['qweight', 'qzeros', 'scales', 'g_idx'],
  required: 3,
  open: async (parts) => open(parts, { version, groupSizes, symmetric }),
  oddity: async (parts) => {
    if (!symmetric || onlyZero(await storedZeros(parts)) !== (version === 1 ? middle : middle - 1)) return undefined;
    return `qzeros are those of GPTQ's other version, not of version ${version} as the config says: symmetric weights have the zero point ${middle} in both`;
  },
  write: (source, groupSize) => write(source, groupSize, version),
});

/** What a config says of how its weights are stored. */
export interface GptqStorage {
  readonly version: 1 | 2;
  readonly groupSizes: readonly number[];
  /** Whether the config says so: then the zero point is 8, as either version stores it. @defaultValue false */
  readonly symmetric?: boolean;
}

const storedZeros = async (parts: Parts): Promise<Uint8Array> => unpacked(wordsOfBytes(await parts.read('qzeros')));

/** The value that all have; undefined where they differ. */
const onlyZero = (stored: Uint8Array): number | undefined =>
  stored.every((zero) => zero === stored[0]) ? stored[0] : undefined;

/** Zero points as they are meant. One of 16, which version 1 could say, is 0 to the programs that run it. */
function meantZeros(stored: Uint8Array, { version, symmetric }: GptqStorage): Uint8Array {
  const only = symmetric ? onlyZero(stored) : undefined;
  if (only === middle || only === middle - 1) return middles(stored.length);
  return stored.map((zero) => (zero + 2 - version) & 15);
}

function open(parts: Parts, storage: GptqStorage): StoredInt4 {
  const [high, out] = wordsShape(parts, 'qweight');
  const width = 8 * high;
  const { count, size, scaleDType } = turnedGroups(parts, [out, width], storage.groupSizes);
  if (parts.info('g_idx')) expectGroupIndices(parts, 'g_idx', width);
  const whole = async (): Promise<Uint8Array> =>
    bytesOfWords(transposedWords(wordsOfBytes(await parts.read('qweight')), high, out));
  return new StoredInt4(parts.name, [out, width], {
    groupSize: size,
    groups: async () => {
      const scales = turnedScales({ dtype: scaleDType, bytes: await parts.read('scales') }, count, out);
      const zeros = meantZeros(await storedZeros(parts), storage);
      const order = parts.info('g_idx') ? new Int32Array((await parts.read('g_idx')).slice().buffer) : undefined;
      if (order?.some((group) => !(group >= 0 && group < count)))
        throw new UserError(`tensor ${partName(parts.name, 'g_idx')} names a group beyond its ${count}`);
      return {
        count,
        size,
        groupOf: order && unordered(order, size),
        scales,
        scaleDType,
        zeros: transposed(zeros, count, out),
      };
    },
    quants: wholeMatrix(out, width / 2, whole),
  });
}

function write(source: Int4Source, groupSize: number, version: 1 | 2): ReturnType<Int4Layout['write']> {
  checkDivides('GPTQ', source, groupSize, { in: 32, out: 32 });
  const [out, width] = source.shape;
  const count = groupCount(width, groupSize);
  const make = async (): Promise<Record<string, Uint8Array>> => {
    const { quants, scales, zeros = middles(out * count) } = await allRows(source, groupSize);
    if (version === 1 && zeros.includes(0))
      throw new UserError(`GPTQ's version 1 cannot hold ${source.name}: it has a zero point of 0`, {
        hint: 'version 2 can',
      });
    const stored = transposed(zeros, out, count).map((zero) => zero + version - 2);
    const size = groupSize < 0 ? width : groupSize;
    return {
      qweight: bytesOfWords(transposedWords(wordsOfQuants(quants, width), out, width / 8)),
      qzeros: bytesOfWords(packed(stored)),
      scales: bytesOfWords(transposed(scales, out, count)),
      g_idx: bytesOfWords(Int32Array.from({ length: width }, (_, column) => Math.floor(column / size))),
    };
  };
  return madeTensors(source.name, make, [
    { part: 'qweight', dtype: 'I32', shape: [width / 8, out], large: true },
    { part: 'qzeros', dtype: 'I32', shape: [count, out / 8] },
    { part: 'scales', dtype: 'F16', shape: [count, out] },
    { part: 'g_idx', dtype: 'I32', shape: [width] },
  ]);
}
