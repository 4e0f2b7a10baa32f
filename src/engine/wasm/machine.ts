import type { KernelModule, Launch } from './kernel.js';
import { KernelCache } from './kernelCache.js';
import { gemm } from './kernels/gemm.js';
import { Memory } from './memory.js';
import { strictTile, type TilePlan } from './tilePlan.js';

/** What launching a kernel needs: the memory, the compiled kernels, and the plan for matrix products. */
export class Machine {
  readonly memory = new Memory();
  readonly plan: TilePlan = strictTile;
  readonly gemm = gemm(this.plan);
  /** Address of room for the sums of one tile. */
  readonly sums = this.memory.allocate(4 * this.plan.panel * Math.max(this.plan.rows, this.plan.rowPanels)).address;
  readonly #cache = new KernelCache(this.memory.wasm);

  kernels<E>(module: KernelModule<E>): Launch<E> {
    return this.#cache.get(module);
  }
}
