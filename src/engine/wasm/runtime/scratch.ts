import { gramTile } from '../kernels/columnProducts.js';
import { wordsOf } from '../kernels/int4/nibbleDots.js';
import { int4PanelRows } from '../layouts/int4/int4Panels.js';
import type { Int4Plan } from '../layouts/int4/int4Plan.js';
import { panelRows } from '../layouts/panels.js';
import { roundUp } from '../layouts/roundUp.js';
import type { TilePlan } from '../layouts/tilePlan.js';
import type { Frame, Memory } from './memory.js';
import type { Varying } from './task.js';

/** Memory that each thread has for itself while it computes a call: what products need by their plans, and more on demand. */
export class Scratch {
  /** A tile of a Gram matrix. */
  readonly sums: Varying;
  /** A part of a tile's panels in float32. */
  readonly wide: Varying;
  /** A panel's columns of a block of rows. */
  readonly stripe: Varying;
  /** A part of a tile's columns of int4 weights, unpacked: operands, then scales and zero points at most of each block. */
  readonly unpacked: Varying;
  /** A group of activations. */
  readonly pad: Varying;

  constructor(
    memory: Memory,
    private readonly threads: number,
    { panels, depth, block }: TilePlan,
    int4: Int4Plan,
  ) {
    const room = (bytes: number): Varying => ({ base: memory.allocate(bytes * threads).address, thread: bytes });
    this.sums = room(8 * gramTile ** 2);
    this.wide = room(4 * panels * panelRows * depth);
    this.stripe = room(4 * int4PanelRows * Math.max(block, int4.block));
    this.unpacked = room(16 * int4.tileVectors * int4.depthBlocks * (4 * wordsOf(int4) + 2));
    this.pad = room(4 * 128);
  }

  /** So many bytes for each thread, for the length of a call. */
  take(frame: Frame, bytes: number): Varying {
    const each = roundUp(bytes, 64);
    return { base: frame.take(each * this.threads), thread: each };
  }
}
