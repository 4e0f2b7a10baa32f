import fc from 'fast-check';

interface Range {
  /** @defaultValue 1 */
  readonly min?: number;
  readonly max: number;
}

/** Between `rows.min` and `rows.max` sequences, all of one length. */
export function tokenRows(vocabSize: number, rows: Range, length: Range): fc.Arbitrary<Int32Array[]> {
  return fc
    .integer({ min: length.min ?? 1, max: length.max })
    .chain((size) => sequences(vocabSize, rows, { min: size, max: size }));
}

/** Sequences of different lengths: a ragged batch for `createBatch`. */
export function raggedTokens(vocabSize: number, rows: Range, length: Range): fc.Arbitrary<Int32Array[]> {
  return sequences(vocabSize, rows, length);
}

function sequences(vocabSize: number, rows: Range, length: Range): fc.Arbitrary<Int32Array[]> {
  const token = fc.integer({ min: 0, max: vocabSize - 1 });
  const sequence = fc
    .array(token, { minLength: length.min ?? 1, maxLength: length.max })
    .map((tokens) => Int32Array.from(tokens));
  return fc.array(sequence, { minLength: rows.min ?? 1, maxLength: rows.max });
}

/** Where to cut a sequence of `length` into steps: ascending, from 0 to `length`. */
export function cutPoints(length: number): fc.Arbitrary<number[]> {
  if (length < 2) return fc.constant([0, length]);
  return fc
    .uniqueArray(fc.integer({ min: 1, max: length - 1 }))
    .map((cuts) => [0, ...cuts.sort((a, b) => a - b), length]);
}
