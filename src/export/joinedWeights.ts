import { joinedInt4, joinedSource } from '../checkpoint/index.js';
import type { Int4Source, WeightSource } from '../engine/index.js';
import { byTensor, ownForm, ownNames, type WeightSpec } from '../models/index.js';

/** A tensor of a Hugging Face folder to be. */
export interface Piece {
  readonly name: string;
  readonly source: WeightSource;
  readonly spec: WeightSpec;
  readonly int4?: Int4Source;
  readonly groupSize?: number;
}

/** Pieces of a tensor that the family's own files fuse become one: queries, keys and values, say. */
export const joinedPieces = (pieces: readonly Piece[]): Piece[] =>
  byTensor(pieces, ({ spec }) => ownForm(spec) && ownNames(spec)[0]).map(({ tensor, items }) => {
    const [first] = items;
    if (tensor === undefined) return first;
    const int4 = items.flatMap((item) => item.int4 ?? []);
    const source = joinedSource(
      items.map((item) => item.source),
      tensor,
    );
    const packed = int4.length === items.length ? joinedInt4(int4, tensor) : undefined;
    return { name: tensor, source, spec: first.spec, int4: packed, groupSize: packed && first.groupSize };
  });
