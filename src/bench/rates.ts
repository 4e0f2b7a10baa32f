import { sizeOf, type Engine, type Packable, type Weight, type WeightSource } from '../engine/index.js';
import { modulesOf, packedSource, type Model } from '../models/index.js';

/** How fast an engine reads and multiplies here, with the threads it has: what a test's time is held against. */
export interface Rates {
  /**
   * Measured on a product of one row with float32 weights: so little arithmetic for each byte that reading decides its
   * speed.
   */
  readonly bytesPerSecond: number;
  /** Measured on a product of many rows with one of the model's matrices, as the engine stores it. */
  readonly operationsPerSecond: number;
}

/** Rows of that product: enough that the time to read the matrix does not matter. */
const manyRows = 256;
/** The most bytes that are read: more than processors' caches hold. */
const mostBytes = 2 ** 28;
/** Each product runs as often as fits in so many milliseconds; the best time counts, which other programs disturb least. */
const duration = 150;

/**
 * Measures the rates of loaded models' engines: each engine's reading once, and its products once for each form and shape
 * of matrix, so that models alike have the same rates. `bytes` is what a decoding step reads: as much is read here, so
 * that it comes from the same place, a cache of the processor or the memory.
 */
export class RateMeter {
  readonly #reading = new Map<Engine, number>();
  readonly #multiplying = new Map<Engine, Map<string, number>>();

  async measure(model: Model, bytes: number): Promise<Rates> {
    const { engine } = model;
    if (!this.#reading.has(engine)) this.#reading.set(engine, await readingRate(engine, Math.min(bytes, mostBytes)));
    return {
      bytesPerSecond: this.#reading.get(engine)!,
      operationsPerSecond: await this.#multiplyingRate(model),
    };
  }

  async #multiplyingRate(model: Model): Promise<number> {
    const { engine } = model;
    const known = this.#multiplying.get(engine) ?? new Map<string, number>();
    this.#multiplying.set(engine, known);
    using weight = await engine.pack(await largestMatrix(model), 'linear');
    const form = [...weight.shape, weight.bytes].join();
    const operations = 2 * manyRows * sizeOf(weight.shape);
    if (!known.has(form)) known.set(form, operations / (await bestSeconds(engine, weight, manyRows)));
    return known.get(form)!;
  }
}

async function readingRate(engine: Engine, bytes: number): Promise<number> {
  const width = 1024;
  using weight = await engine.pack(ones([Math.max(8, Math.ceil(bytes / width / 4)), width]), 'linear');
  return weight.bytes / (await bestSeconds(engine, weight, 1));
}

/** The largest matrix of the loaded layers that every token is multiplied with (no expert). */
async function largestMatrix({ layers, parameters, config }: Model): Promise<Packable> {
  const [largest] = layers
    .flatMap((layer) =>
      modulesOf(layer.description)
        .filter(([kind]) => layer.isLoaded(kind))
        .flatMap(([, { weights }]) => weights)
        .filter(({ use }) => use === 'linear')
        .map((weight) => ({ weight, size: sizeOf(weight.shape) })),
    )
    .sort((a, b) => b.size - a.size);
  // If every module is dropped, a matrix of the head's shape.
  return largest ? packedSource(parameters, largest.weight) : ones([config.vocabSize, config.hiddenSize]);
}

async function bestSeconds(engine: Engine, weight: Weight, rows: number): Promise<number> {
  const width = weight.shape[1];
  using x = engine.tensor(new Float32Array(rows * width).fill(1), [rows, width]);
  let best = Infinity;
  // The first ones touch the memory and compile.
  for (let run = 0, end = performance.now() + duration; run < 5 || performance.now() < end; run++) {
    using _scope = engine.scope();
    const start = performance.now();
    // Reading a row back waits for the product.
    await engine.readFloats(engine.linear(x, [{ weight }])[0].rows(0, 1));
    best = Math.min(best, (performance.now() - start) / 1000);
  }
  return best;
}

const ones = (shape: readonly [number, number]): WeightSource => ({
  name: 'ones',
  shape,
  dtype: 'float32',
  readRows: async (start, end) => new Uint8Array(new Float32Array((end - start) * shape[1]).fill(1).buffer),
});
