import { UserError, checkOptions, flag, oneOf, type Int4Format } from '../engine/index.js';

export interface Int4Options {
  /** Weights along a row that share a scale. @defaultValue 32 */
  readonly groupSize?: Int4Format['groupSize'];
  /** Zero in the middle, or a zero point a group, for weights that lean to one side. @defaultValue true */
  readonly symmetric?: boolean;
  /**
   * What becomes of the embedding and the output projection: the most sensitive weights, and in small models a large
   * part of all. 'float' leaves them as they are stored. @defaultValue 'bf16'
   */
  readonly head?: 'int4' | 'bf16' | 'float';
}

export const groupSizes: readonly number[] = [32, 64, 128] satisfies Int4Format['groupSize'][];

/** The format that options ask for, checked: they may come from a command line. */
export function int4Format(options: Int4Options): Int4Format {
  checkOptions(options, { symmetric: flag, head: oneOf(['int4', 'bf16', 'float']) });
  const { groupSize = 32, symmetric = true } = options;
  if (!groupSizes.includes(groupSize))
    throw new UserError(`a group of ${groupSize} int4 weights is not supported`, {
      hint: `${groupSizes.join(', ')} are`,
    });
  return { groupSize, zeroPoints: !symmetric };
}
