import type { Int4Source } from '../../engine/index.js';

/** A weight that is stored as integers of 4 bits. */
export interface PackedWeight {
  /** Why the engine's groups cannot hold it, once `int4` was called; undefined if they can. */
  readonly reason: string | undefined;
  /** Columns that share a scale in the file. */
  readonly fileGroup: number;
  /** The same under another name. */
  named(name: string): PackedWeight;
  /** The integers and scales in the engine's groups; undefined where these cannot hold them. */
  int4(): Promise<Int4Source | undefined>;
}
