import { UserError, shownValue } from '../engine/index.js';

/** No model has as many layers; a range beyond it is a slip of the finger. */
const mostLayers = 100_000;

/** `3,5-7` -> [3, 5, 6, 7]. Whether the model has these layers is for the model to check. */
export function parseLayerList(list: string, flag: string): number[] {
  if (list.trim() === '') return [];
  return list.split(',').flatMap((entry) => {
    const match = /^\s*(\d+)\s*(?:-\s*(\d+)\s*)?$/.exec(entry);
    const [first, last] = [Number(match?.[1]), Number(match?.[2] ?? match?.[1])];
    if (!match || last < first || last > mostLayers)
      throw new UserError(`${flag}: ${shownValue(entry.trim())} is neither a layer nor a range of layers`, {
        hint: 'write 3,5 or 3-5',
      });
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}
