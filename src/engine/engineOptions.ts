export interface EngineOptions {
  /** Threads to compute with. @defaultValue as many as the backend makes good use of, at most one per core */
  readonly threads?: number;
  /**
   * How int4 weights meet activations: quantized to 8 bits a group on the way (fast), or as float32 (exact).
   * `reference` and `tfjs` are always exact. @defaultValue 'fast'
   */
  readonly int4?: 'fast' | 'exact';
  /** Which TensorFlow.js backend: its package's last word, e.g. 'node-gpu', 'node', 'wasm', 'cpu'. @defaultValue the first installed, in this order */
  readonly tfjs?: string;
  /**
   * Lets V8 pair 128-bit instructions of WebAssembly to 256 bits (Node 26 or later, x86-64), by a flag that stays set for
   * the whole process: for programs that own theirs. @defaultValue false
   */
  readonly revectorize?: boolean;
}
