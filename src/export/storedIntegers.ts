/** Integers of 4 or 8 bits that a checkpoint stores, on their way into the blocks of a GGUF file. */
import {
  joinedInt4,
  joinedInt8,
  rotaryOrderedInt4,
  rotaryOrderedInt8,
  takesInt8,
  type RotaryOrder,
  type WrittenType,
} from '../checkpoint/index.js';
import type { Int4Source, Int8Source } from '../engine/index.js';
import type { PlannedWeight } from './plannedWeights.js';

export type IntegerSource = Int4Source | Int8Source;

/** Those of a weight, where blocks can hold them. */
export async function integersOf({ spec, int4, int8 }: PlannedWeight): Promise<IntegerSource | undefined> {
  if (spec.made) return undefined;
  return (await int4?.()) ?? (int8 && takesInt8('Q8_0', int8) ? int8 : undefined);
}

/** The type whose blocks hold them as they are. */
export function blockType(source: IntegerSource): WrittenType {
  if (source.dtype === 'int8') return 'Q8_0';
  return source.format.zeroPoints || source.format.minima ? 'Q4_1' : 'Q4_0';
}

/** Rows with each head's in the order `to`. */
export const rotaryOrderedIntegers = (source: IntegerSource, headDim: number, to: RotaryOrder): IntegerSource =>
  source.dtype === 'int4' ? rotaryOrderedInt4(source, headDim, to) : rotaryOrderedInt8(source, headDim, to);

/** Those of weights one above the other; undefined where one has none, or of another kind. */
export function joinedIntegers(
  sources: readonly (IntegerSource | undefined)[],
  name: string,
): IntegerSource | undefined {
  const int4 = sources.filter((source) => source?.dtype === 'int4');
  if (int4.length === sources.length) return joinedInt4(int4, name);
  const int8 = sources.filter((source) => source?.dtype === 'int8');
  return int8.length === sources.length ? joinedInt8(int8, name) : undefined;
}
