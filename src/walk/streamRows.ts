import { NotFiniteError, allFinite, createBatch, asFloats, decodeFloats, type Tensor } from '../engine/index.js';
import { host } from '../engine/hosts/index.js';
import { checkedTokens, isFiniteStream, notFinite, packedSource, type Model } from '../models/index.js';
import type { HiddenStates } from './hiddenStates.js';
import { readAhead } from './readAhead.js';
import type { WalkOptions } from './walk.js';

/** Where to go on: rows before `row` have passed `layer`, and all rows have passed the layers before it. */
export interface StreamPosition {
  readonly layer: number;
  readonly row: number;
}

export interface StreamOptions extends WalkOptions {
  /** Where the rows' hidden states are kept between layers. */
  readonly states: HiddenStates;
  /** Where to continue, with the `states` that an interrupted run left. @defaultValue from the embedding */
  readonly from?: StreamPosition;
  /**
   * Lengths of windows, in layers: before a window's last layer runs, `recall` is given the stream that entered its
   * first.
   */
  readonly gaps?: readonly number[];
  readonly recall?: (layer: number, hidden: Tensor) => void;
  /** Whether the stream that leaves the last layer waits too, as stream number `layers`. @defaultValue false */
  readonly last?: boolean;
  /** After a row has left a layer; `next` is where a later run would continue. */
  readonly onRow?: (next: StreamPosition) => void | Promise<void>;
}

/**
 * Runs all rows through one layer after the other, with a single layer's weights in memory. While a layer computes, the
 * next one is read from the disk into the system's cache. An observer sees what `walkRows` would show it, but in
 * another order (all rows of a layer, then the next layer), and without the stream that enters the first layer, which
 * it gets by `recall`.
 */
export async function streamRows(model: Model, rows: readonly Int32Array[], options: StreamOptions): Promise<void> {
  const { states, gaps = [], last = false, signal, onProgress, onRow } = options;
  const { layers } = model;
  const from = options.from ?? { layer: 0, row: 0 };
  states.keep([...wanted(from.layer, gaps, layers.length), ...(from.row > 0 ? [from.layer + 1] : [])]);
  if (from.layer === 0)
    for (const [row, tokens] of rows.entries()) {
      signal?.throwIfAborted();
      states.write(0, row, await embedded(model, tokens));
    }
  for (const layer of layers.slice(from.layer)) {
    await layer.load();
    const ahead = readAhead(model, layer.index + 1);
    try {
      for (let row = layer.index === from.layer ? from.row : 0; row < rows.length; row++) {
        signal?.throwIfAborted();
        await runRow(model, layer.index, rows[row], row, options);
        await onRow?.(
          row + 1 < rows.length ? { layer: layer.index, row: row + 1 } : { layer: layer.index + 1, row: 0 },
        );
        onProgress?.(layer.index * rows.length + row + 1, layers.length * rows.length, 'rows through layers');
        await host.nextTurn(); // as in `walkRows`
      }
    } finally {
      layer.unload();
      await ahead;
    }
    states.keep([...wanted(layer.index + 1, gaps, layers.length), ...(last ? [layers.length] : [])]);
  }
}

async function runRow(
  model: Model,
  layer: number,
  tokens: Int32Array,
  row: number,
  { states, gaps = [], last = false, recall, observer }: StreamOptions,
): Promise<void> {
  const { engine, config } = model;
  const stream = (at: number): Tensor => engine.tensor(states.read(at, row), [tokens.length, config.hiddenSize]);
  await engine.exclusive(async () => {
    for (const gap of gaps) {
      const first = layer + 1 - gap;
      if (first < 0) continue;
      using earlier = stream(first);
      recall?.(first, earlier);
    }
    const after = model.runLayer(layer, stream(layer), createBatch([tokens]), { observer });
    if (!(await isFiniteStream(model, after)))
      throw await notFinite(model, tokens, 'the residual stream', { layer, stream: states.read(layer, row) });
    if (last || layer + 1 < model.layers.length) states.write(layer + 1, row, await engine.readFloats(after));
  });
}

/** The streams that layers from `layer` on still read. */
function wanted(layer: number, gaps: readonly number[], layers: number): number[] {
  const streams = Array.from({ length: layer + 1 }, (_, i) => i);
  return streams.filter(
    (stream) =>
      stream < layers && (stream === layer || gaps.some((gap) => stream + gap > layer && stream + gap <= layers)),
  );
}

/**
 * The embedding's rows of these tokens, [T, D]. They are read one by one, as the whole table may be larger than a
 * layer.
 */
export async function embedded(model: Model, given: Int32Array): Promise<Float32Array> {
  const { parameters, description, config } = model;
  model.checkAlive();
  const tokens = checkedTokens(model, given);
  const { weight, scale = 1 } = description.embedding;
  const source = asFloats(await packedSource(parameters, weight));
  const width = config.hiddenSize;
  const values = new Float32Array(tokens.length * width);
  const places = new Map<number, number>();
  for (const [i, token] of tokens.entries()) {
    const place = places.get(token);
    if (place !== undefined) values.copyWithin(i * width, place * width, (place + 1) * width);
    else values.set(decodeFloats(await source.readRows(token, token + 1), source.dtype), i * width);
    places.set(token, i);
  }
  const scaled = scale === 1 ? values : values.map((value) => value * Math.fround(scale));
  if (!allFinite(scaled)) throw new NotFiniteError(`the rows of ${source.name} are not finite once they are scaled`);
  return scaled;
}
