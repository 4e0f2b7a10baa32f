import type { Batch, Engine, Rotary, Tensor } from '../engine/index.js';
import { ropeFrequencies, turningLength, type RopeParameters } from './rope.js';

/** What turns some layers' queries and keys. */
export interface Turning {
  readonly rope?: RopeParameters;
  readonly headDim: number;
  /** @defaultValue headDim */
  readonly rotaryDim?: number;
}

/** Cosines and sines by the way in which layers turn queries and keys. */
export interface Rotaries {
  readonly tables: ReadonlyMap<RopeParameters, Rotary<Tensor>>;
  /** A batch under whose positions the table holds the angles of each text: the batch itself where all texts turn alike. */
  under(batch: Batch, rope: RopeParameters): Batch;
  /** Whether that may be another batch, so that a pass cannot be replayed with the next one. */
  readonly mixed: boolean;
}

interface HeldTables extends Rotaries {
  /** Tells tables apart by what they were made for. */
  readonly key: string;
}

/** The tables of all layers of a model, grown as longer sequences come: one for each way to turn, most often one. */
export class RotaryTables implements Disposable {
  #held: HeldTables | undefined;
  #rows = 0;
  readonly #ways = new Map<RopeParameters, number>();

  constructor(
    private readonly engine: Engine,
    layers: readonly Turning[],
  ) {
    for (const { rope, headDim, rotaryDim = headDim } of layers) if (rope) this.#ways.set(rope, rotaryDim);
  }

  /** For all texts of a batch: made before a pass, since one that is recorded must not make any. Other tables are another object. */
  of({ sequences, positions }: Batch): Rotaries {
    const ends = sequences.map(({ start, length }) => start + length);
    const needed = positions.reduce((most, position) => Math.max(most, position), 0) + 1;
    const rows = Math.max(64, this.#rows, 2 ** Math.ceil(Math.log2(needed)));
    const lengths = new Map<RopeParameters, readonly number[]>();
    for (const rope of this.#ways.keys())
      lengths.set(
        rope,
        [...new Set(ends.map((end) => turningLength(rope, end)))].sort((a, b) => a - b),
      );
    const key = [rows, ...[...lengths.values()].map((list) => list.join())].join(' ');
    if (this.#held?.key === key) return this.#held;
    this.dispose();
    this.#rows = rows;
    const tables = new Map<RopeParameters, Rotary<Tensor>>();
    for (const [rope, size] of this.#ways)
      tables.set(rope, rotaryTable(this.engine, rope, size, rows, lengths.get(rope)!));
    const mixed = [...lengths.values()].some((list) => list.length > 1);
    const under = (batch: Batch, rope: RopeParameters): Batch =>
      lengths.get(rope)!.length > 1 ? shifted(batch, rope, lengths.get(rope)!, rows) : batch;
    this.#held = { key, tables, mixed, under };
    return this.#held;
  }

  dispose(): void {
    for (const { cos, sin } of this.#held?.tables.values() ?? []) [cos, sin].forEach((table) => table.dispose());
    this.#held = undefined;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Cosines and sines on the device, [lengths * rows, size / 2]: a row a position, for texts of each length one table above the next. */
function rotaryTable(
  engine: Engine,
  rope: RopeParameters,
  size: number,
  rows: number,
  lengths: readonly number[],
): Rotary<Tensor> {
  const half = size / 2;
  const [cos, sin] = [0, 0].map(() => new Float32Array(lengths.length * rows * half));
  for (const [at, length] of lengths.entries()) {
    const { inverse, factor } = ropeFrequencies(rope, size, length);
    // Frequencies and angles are rounded to float32, as in transformers.
    const frequencies = Float32Array.from(inverse);
    for (let position = 0; position < rows; position++)
      for (let k = 0; k < half; k++) {
        const angle = Math.fround(position * frequencies[k]);
        const to = (at * rows + position) * half + k;
        cos[to] = Math.cos(angle) * factor;
        sin[to] = Math.sin(angle) * factor;
      }
  }
  const table = (values: Float32Array): Tensor => {
    using made = engine.tensor(values, [lengths.length * rows, half]);
    return made.detach();
  };
  return { cos: table(cos), sin: table(sin) };
}

/** Positions in the part of the table that has the angles of each sequence's text. */
function shifted(batch: Batch, rope: RopeParameters, lengths: readonly number[], rows: number): Batch {
  const parts = batch.sequences.flatMap(({ start, length }) => {
    const part = lengths.indexOf(turningLength(rope, start + length));
    return Array.from({ length }, () => part);
  });
  return { ...batch, positions: batch.positions.map((position, token) => parts[token] * rows + position) };
}
