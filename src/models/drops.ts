import { UserError, shownValue } from '../engine/index.js';

/** Original layers whose attention or MLP is dropped. */
export interface Drops {
  readonly attention: readonly number[];
  readonly mlp: readonly number[];
}

/** What a model's config says is dropped. */
export const recordedDrops = ({
  dropAttention: attention,
  dropMlp: mlp,
}: {
  readonly dropAttention: readonly number[];
  readonly dropMlp: readonly number[];
}): Drops => ({ attention, mlp });

/**
 * LLM-Drop's lists (docs/formats.md, 'Drop lists'): layer indices, or booleans by position, or a mixture; null or
 * missing drops nothing, duplicates are harmless. Returns ascending original indices.
 */
export function parseDropList(list: unknown, layers: number, where: string): number[] {
  if (list === undefined || list === null) return [];
  if (!Array.isArray(list)) throw new UserError(`${where} must be a list of layer indices, found ${shownValue(list)}`);
  const indices = list.flatMap((entry: unknown, position) => {
    if (typeof entry === 'boolean') return entry ? [position] : [];
    if (typeof entry === 'number' && Number.isInteger(entry)) return [entry];
    throw new UserError(`${where} holds ${shownValue(entry)}, which is neither a layer index nor a boolean`);
  });
  return checkedIndices(indices, layers, where);
}

/** Ascending, without duplicates, all within the model. */
export function checkedIndices(indices: readonly number[], layers: number, where: string): number[] {
  const bad = indices.find((index) => !(index >= 0 && index < layers));
  if (bad !== undefined)
    throw new UserError(`${where} names layer ${bad}, but the model has ${layers} (0 to ${layers - 1})`, {
      hint: 'indices count from 0',
    });
  return [...new Set(indices)].sort((a, b) => a - b);
}
