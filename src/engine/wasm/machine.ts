import type { KernelModule, Launch } from './kernel.js';
import { pairsPlan, type Int4Plan } from './int4/int4Plan.js';
import { KernelCache } from './kernelCache.js';
import { gemm } from './kernels/gemm.js';
import { Memory } from './memory.js';
import { strictTile, type TilePlan } from './tilePlan.js';

/** What launching a kernel needs: the memory, the compiled kernels, and the plan for matrix products. */
export class Machine {
  readonly memory = new Memory();
  readonly plan: TilePlan = strictTile;
  readonly gemm = { float32: gemm(this.plan, 'float32'), bfloat16: gemm(this.plan, 'bfloat16') };
  /** Address of room for the sums of one tile. */
  readonly sums = this.memory.allocate(4 * this.plan.panel * Math.max(this.plan.rows, this.plan.rowPanels)).address;
  /** Address of room for a part of a panel in float32. */
  readonly wide = this.memory.allocate(4 * this.plan.panel * this.plan.depth).address;
  /** Address of room for a panel's columns of a block of rows. */
  readonly stripe = this.memory.allocate(4 * this.plan.panel * this.plan.block).address;
  readonly #cache = new KernelCache(this.memory.wasm);

  constructor(
    /** How products with int4 weights are tiled; 'exact' multiplies them as float32. */
    readonly int4: Int4Plan = pairsPlan,
    readonly exactInt4 = false,
  ) {}

  kernels<E>(module: KernelModule<E>): Launch<E> {
    return this.#cache.get(module);
  }
}
