import { flag, oneOf, text, whole, type Options } from './given.js';

export interface EngineOptions {
  /**
   * Threads to compute with; of more than 16, no more than the machine has cores.
   * @defaultValue as many as the backend makes good use of, at most one per core
   */
  readonly threads?: number;
  /**
   * How int4 weights meet activations: quantized to 8 bits a group on the way (fast), or as float32 (exact).
   * `reference`, `tfjs` and `webgpu` are always exact. @defaultValue 'fast'
   */
  readonly int4?: 'fast' | 'exact';
  /** Which TensorFlow.js backend: its package's last word, e.g. 'node-gpu', 'node', 'wasm', 'cpu'. @defaultValue the first installed, in this order */
  readonly tfjs?: string;
  /**
   * Lets the `wasm` backend set flags of V8, which stay set for the whole process: for programs that own theirs. From Node
   * 26 on, on x86-64, V8 then pairs 128-bit instructions of WebAssembly to 256 bits; before Node 24, kernels then use
   * relaxed SIMD, and all WebAssembly is compiled by the optimizing compiler at once. @defaultValue false
   */
  readonly v8Flags?: boolean;
}

/** What these may be. */
export const engineOptions: Options<EngineOptions> = {
  threads: whole(1),
  int4: oneOf(['fast', 'exact']),
  tfjs: text,
  v8Flags: flag,
};
