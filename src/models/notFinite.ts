import { NotFiniteError, createBatch, firstNotFinite, sizeOf, type Engine, type Tensor } from '../engine/index.js';
import type { Observer, SubLayerEvent } from './context.js';
import type { Model } from './model.js';
import { weightSource } from './parameters.js';
import { moduleWord, type ModuleKind, type WeightSpec } from './weights.js';

/** The stream [T, D] of a row that enters a layer, where a pass need not begin at the embedding. */
export interface Entering {
  readonly layer: number;
  readonly stream: Float32Array;
}

/**
 * Why what a pass gives is not finite: the row runs once more, and the first module is named that adds NaN or infinity
 * to the residual stream, or its weight that holds one. Only called where something was found: passes themselves check
 * nothing but their results, since what is not finite stays in the stream to its end.
 *
 * @param what is not finite, as in 'the loss'
 * @param entering where one layer is run alone: the model need not be loaded, but for that layer
 */
export function notFinite(
  model: Model,
  row: ArrayLike<number>,
  what: string,
  entering?: Entering,
): Promise<NotFiniteError> {
  const noLayer = (): NotFiniteError =>
    new NotFiniteError(`${what} is not finite, though all layers give finite numbers`, {}, beyond);
  // Streamed layers were looked at one by one.
  if (!entering && !model.isLoaded) return Promise.resolve(noLayer());
  return model.engine.exclusive(async () => {
    const batch = createBatch([row]);
    const watch = new StreamWatch(model.engine);
    if (entering) {
      const stream = model.engine.tensor(entering.stream, [row.length, model.config.hiddenSize]);
      model.runLayer(entering.layer, stream, batch, { observer: watch });
    } else {
      const stream = model.embed(batch);
      watch.add(undefined, stream);
      model.forwardFrom(0, stream, batch, { observer: watch });
    }
    const first = await watch.first();
    if (!first) return noLayer();
    if (!first.module) return new NotFiniteError(`${what} is not finite: the embedding's rows are not`);
    return moduleNotFinite(model, first.module, what);
  });
}

const beyond = { hint: 'a float32 ends at 3.4e38: some weights are too large' };

/** That a module gives what is not finite, and which of its weights holds such a value, if one does. */
export async function moduleNotFinite(
  model: Pick<Model, 'description' | 'parameters'>,
  { layer, kind }: { readonly layer: number; readonly kind: ModuleKind },
  what: string,
): Promise<NotFiniteError> {
  const named = `the ${moduleWord[kind]} of layer ${layer}`;
  for (const weight of model.description.layers[layer][kind].weights) {
    const tensor = await badTensor(model, weight);
    if (tensor)
      return new NotFiniteError(`${what} is not finite: tensor ${tensor} of ${named} holds a value that is not`, {
        tensor,
        layer,
        module: kind,
      });
  }
  return new NotFiniteError(
    `${what} is not finite: ${named} is the first to give NaN or infinity, from weights that are finite`,
    { layer, module: kind },
    beyond,
  );
}

/** Rows that are read at a time. */
const rowsAtOnce = 1024;

async function badTensor({ parameters }: Pick<Model, 'parameters'>, weight: WeightSpec): Promise<string | undefined> {
  const source = weightSource(parameters, weight);
  const rows = sizeOf(source.shape.slice(0, -1));
  for (let row = 0; row < rows; row += rowsAtOnce) {
    const bytes = await source.readRows(row, Math.min(rows, row + rowsAtOnce));
    if (firstNotFinite(bytes, source.dtype) >= 0) return source.name;
  }
  return undefined;
}

/** Whether a residual stream [T, D] is finite: reads a number a token, so that it costs next to nothing beside a layer. */
export async function isFiniteStream({ engine }: Pick<Model, 'engine'>, stream: Tensor): Promise<boolean> {
  return allZero(await engine.readFloats(zeroed(engine, stream)));
}

/** [T]: 0 x summed, which is 0, and NaN where an x is not finite. */
const zeroed = (engine: Engine, stream: Tensor): Tensor => engine.sum(engine.map(stream, ['multiply', 'x', 0]));

const allZero = (values: Float32Array): boolean => values.every((value) => value === 0);

type Module = Pick<SubLayerEvent, 'layer' | 'kind'>;

/** Notes of each module whether the stream behind it is finite: a number a token, so that long rows cost no memory. */
class StreamWatch implements Observer {
  readonly #seen: { readonly module?: Module; readonly zeros: Tensor }[] = [];

  constructor(private readonly engine: Engine) {}

  subLayer({ layer, kind, after }: SubLayerEvent): void {
    this.add({ layer, kind }, after);
  }

  add(module: Module | undefined, stream: Tensor): void {
    this.#seen.push({ module, zeros: zeroed(this.engine, stream).detach() });
  }

  /** The first that is not: no module where it is what enters the first layer. */
  async first(): Promise<{ readonly module?: Module } | undefined> {
    let found: { readonly module?: Module } | undefined;
    for (const { module, zeros } of this.#seen.splice(0)) {
      using read = zeros;
      if (!found && !allZero(await this.engine.readFloats(read))) found = { module };
    }
    return found;
  }
}
