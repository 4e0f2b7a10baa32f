import fc from 'fast-check';
import type { Drops } from '../models/index.js';

/** Any attentions and MLPs of a model of `layers` layers. */
export function dropSets(layers: number): fc.Arbitrary<Drops> {
  return fc.record({ attention: fc.subarray(indices(layers)), mlp: fc.subarray(indices(layers)) });
}

/** Layers that must stay. */
export const keepLists = (layers: number): fc.Arbitrary<number[]> => fc.subarray(indices(layers));

const indices = (layers: number): number[] => Array.from({ length: layers }, (_, i) => i);
