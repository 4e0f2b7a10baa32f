import { NotFiniteError, UserError, allFinite, createBatch, decodeFloats } from '../engine/index.js';
import {
  ggmlTypes,
  roundingBound,
  rowsOf,
  widthOf,
  type WrittenType,
  type GgufFile,
  type GgufTensor,
} from '../checkpoint/index.js';
import { notFinite, type Model } from '../models/index.js';

/** What an exported model was found to compute, read back from the disk. */
export interface Proof {
  /** The prompt, as token ids. */
  readonly prompt: readonly number[];
  /** The likeliest next token, of the result and of the model that was exported. */
  readonly token: number;
  readonly sourceToken: number;
  /**
   * The largest difference between the two models' logits of the next token, and the largest magnitude of the
   * original's.
   */
  readonly largestDifference: number;
  readonly largestLogit: number;
}

/** Logits [V] of the token behind `prompt`, all finite. One layer at a time is in memory, beside the embeddings. */
export async function nextLogits(
  model: Model,
  prompt: readonly number[],
  onLayer: () => void = () => undefined,
): Promise<Float32Array> {
  const { engine, config, drops } = model;
  const what = `a logit of ${model.parameters.folder}`;
  const all = model.layers.map(({ index }) => index);
  try {
    // Loads what belongs to no layer.
    model.setDrops({ attention: all, mlp: all });
    await model.load();
    model.setDrops(drops);
    return await engine.exclusive(async () => {
      const batch = createBatch([prompt]);
      let hidden = model.embed(batch);
      let entering = await engine.readFloats(hidden);
      for (const layer of model.layers) {
        await layer.load();
        hidden = model.runLayer(layer.index, hidden, batch);
        // Waits, too, until the layer is computed, and not only enqueued, before its weights are freed.
        const after = await engine.readFloats(hidden);
        if (!allFinite(after)) throw await notFinite(model, prompt, what, { layer: layer.index, stream: entering });
        entering = after;
        layer.unload();
        onLayer();
      }
      const logits = (await engine.readFloats(model.logits(hidden))).slice(-config.vocabSize);
      if (!allFinite(logits)) throw new NotFiniteError(`${what} is not finite, though all layers give finite numbers`);
      return logits;
    });
  } finally {
    model.unload();
  }
}

/** Disposes both models. Fails unless both compute finite logits, and the result's are within `relative` of the source's where that is given. */
export async function proveRun(
  source: Model,
  result: Model,
  { relative, onProgress }: { relative?: number; onProgress?: (done: number, total: number, unit: string) => void },
): Promise<Proof> {
  using _source = source;
  using _result = result;
  const total = source.layers.length + result.layers.length;
  let done = 0;
  const onLayer = (): void => onProgress?.(++done, total, 'layers');
  const prompt = promptOf(source.config.vocabSize).slice(0, result.config.maxPositionEmbeddings);
  const expected = await nextLogits(source, prompt, onLayer);
  const found = await nextLogits(result, prompt, onLayer);
  if (found.length !== expected.length)
    throw new UserError(
      `what was written to ${result.parameters.folder} has ${found.length} logits when it is read back, not ${expected.length}`,
    );
  const largestDifference = found.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i])), 0);
  const largestLogit = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  if (relative !== undefined && !(largestDifference <= relative * Math.max(1e-3, largestLogit)))
    throw new UserError(
      `what was written to ${result.parameters.folder} computes other logits when it is read back: they are off by ${largestDifference.toPrecision(3)}, and the largest is ${largestLogit.toPrecision(3)}`,
    );
  return { prompt, token: likeliest(found), sourceToken: likeliest(expected), largestDifference, largestLogit };
}

/** Several different tokens: with one alone, queries and keys would not matter. */
const promptOf = (vocabSize: number): number[] =>
  [1, 2, 3, 5, 8].map((n) => Math.floor((n * vocabSize) / 11) % vocabSize);

const likeliest = (logits: Float32Array): number =>
  logits.reduce((best, value, id) => (value > logits[best] ? id : best), 0);

/** Every tensor of a GGUF file against what was to be written: their list, shapes, types, and each value within its format's rounding. */
export async function proveTensors(
  file: GgufFile,
  tensors: readonly GgufTensor[],
  onProgress?: (done: number, total: number, unit: string) => void,
): Promise<void> {
  const fail = (problem: string): never => {
    throw new UserError(`${file.path} ${problem} when it is read back`);
  };
  const names = file.tensorNames();
  if (names.join('\n') !== tensors.map(({ name }) => name).join('\n'))
    fail(`lists ${names.length} tensors other than the ${tensors.length} that were written`);
  for (const [i, tensor] of tensors.entries()) {
    const { name, type, source } = tensor;
    const read = file.source(name);
    if (file.type(name) !== type || read.shape.join() !== source.shape.join())
      fail(`holds ${name} as ${file.type(name)} [${read.shape.join(',')}]`);
    const step = Math.max(1, Math.floor((1 << 20) / widthOf(source)));
    for (let row = 0; row < rowsOf(source); row += step) {
      const end = Math.min(row + step, rowsOf(source));
      const wanted = decodeFloats(await source.readRows(row, end), source.dtype).slice();
      const found = decodeFloats(await read.readRows(row, end), read.dtype);
      const off = firstBeyond(wanted, found, type);
      if (off >= 0) fail(`holds ${found[off]} for ${wanted[off]} in ${name}`);
    }
    onProgress?.(i + 1, tensors.length, 'tensors');
  }
}

/** The first value that is off by more than its type rounds; -1 where none is. */
function firstBeyond(wanted: Float32Array, found: Float32Array, type: WrittenType): number {
  const { block } = ggmlTypes[type];
  for (let start = 0; start < wanted.length; start += block) {
    let most = 0;
    let worst = 0;
    let at = -1;
    for (let i = start; i < start + block; i++) {
      const off = Math.abs(wanted[i] - found[i]);
      most = Math.max(most, Math.abs(wanted[i]));
      // Also where it is no number.
      if (!(off <= worst)) {
        worst = off;
        at = i;
      }
    }
    if (at >= 0 && !(worst <= roundingBound(type, most))) return at;
  }
  return -1;
}
