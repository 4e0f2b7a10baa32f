/** The residual streams of rows between two layers: stream `layer` is what enters that layer, [T, D] for each row. */
export interface HiddenStates extends Disposable {
  read(layer: number, row: number): Float32Array;
  write(layer: number, row: number, values: Float32Array): void;
  /** Frees all streams but these. */
  keep(layers: readonly number[]): void;
  /** Makes what was written so far survive a loss of power, if it is kept beyond the process at all. */
  sync(): void;
}

/** Hidden states in memory. */
export class MemoryStates implements HiddenStates {
  readonly #streams = new Map<number, Float32Array[]>();

  read(layer: number, row: number): Float32Array {
    return this.#streams.get(layer)![row];
  }

  write(layer: number, row: number, values: Float32Array): void {
    const rows = this.#streams.get(layer) ?? [];
    rows[row] = values;
    this.#streams.set(layer, rows);
  }

  keep(layers: readonly number[]): void {
    for (const layer of this.#streams.keys()) if (!layers.includes(layer)) this.#streams.delete(layer);
  }

  sync(): void {}

  [Symbol.dispose](): void {
    this.#streams.clear();
  }
}
