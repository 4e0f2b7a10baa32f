import { NotFiniteError, allFinite, createBatch, type Tensor } from '../engine/index.js';
import { host } from '../engine/hosts/index.js';
import { isFiniteStream, moduleNotFinite, type Model, type ModuleKind, type Observer } from '../models/index.js';
import type { HiddenStates } from './hiddenStates.js';

/**
 * Number of the residual stream [T, D] that enters a module, where streams are kept before every module instead of
 * every layer.
 */
export const moduleStream = (layer: number, kind: ModuleKind): number => 2 * layer + (kind === 'mlp' ? 1 : 0);

/** Runs rows through one module at a time: its weights are all that is loaded. */
export class ModuleRows {
  constructor(
    readonly model: Model,
    readonly rows: readonly Int32Array[],
    readonly states: HiddenStates,
    private readonly signal?: AbortSignal,
  ) {}

  /** Loads one module and skips the other half of its layer while `work` runs. */
  async loaded<T>(layer: number, kind: ModuleKind, work: () => Promise<T>): Promise<T> {
    const whole = this.model.layers[layer];
    const { skipAttention, skipMlp } = whole;
    whole.unload();
    whole.skipAttention = kind !== 'attention';
    whole.skipMlp = kind !== 'mlp';
    try {
      await whole.load();
      return await work();
    } finally {
      whole.unload();
      whole.skipAttention = skipAttention;
      whole.skipMlp = skipMlp;
    }
  }

  /**
   * Runs rows, all or the first `count`, from the stream before the loaded module; `onRow` is given what leaves it,
   * [T, D], and is finite.
   */
  async run(
    layer: number,
    kind: ModuleKind,
    {
      observer,
      onRow,
      count = this.rows.length,
    }: { observer?: Observer; onRow?: (after: Tensor, row: number) => Promise<void>; count?: number },
  ): Promise<void> {
    const { model, rows, states } = this;
    for (const [row, tokens] of rows.slice(0, count).entries()) {
      this.signal?.throwIfAborted();
      await model.engine.exclusive(async () => {
        const before = model.engine.tensor(states.read(moduleStream(layer, kind), row), [
          tokens.length,
          model.config.hiddenSize,
        ]);
        const after = model.runLayer(layer, before, createBatch([tokens]), { observer });
        if (!(await isFiniteStream(model, after)))
          throw await moduleNotFinite(model, { layer, kind }, 'the residual stream');
        await onRow?.(after, row);
      });
      await host.nextTurn(); // as in `walkRows`
    }
  }

  /** Passes by a dropped module: the stream before it becomes the stream after it. */
  passOn(layer: number, kind: ModuleKind): void {
    const stream = moduleStream(layer, kind);
    for (const row of this.rows.keys()) this.states.write(stream + 1, row, this.states.read(stream, row));
  }
}

/** The inputs of projections since the last `take`, by path; projections that read the same input share it. */
export interface CapturedInputs extends Disposable {
  readonly observer: Observer;
  take(): Promise<ReadonlyMap<string, Float32Array>>;
}

/** Keeps the inputs [T, in] of projections until they are read. */
export function capturedInputs({ engine }: Pick<Model, 'engine'>, wanted: readonly string[]): CapturedInputs {
  const kept: { path: string; input: Tensor }[] = [];
  const clear = (): void => kept.splice(0).forEach(({ input }) => input.dispose());
  return {
    observer: {
      input: ({ paths, input }) => {
        for (const path of paths) if (wanted.includes(path)) kept.push({ path, input: input.detach() });
      },
    },
    take: async () => {
      const read = new Map<string, Float32Array>();
      for (const { path, input } of kept) read.set(path, await engine.readFloats(input));
      clear();
      for (const [path, input] of read)
        if (!allFinite(input)) throw new NotFiniteError(`the inputs of ${path} are not finite on the calibration rows`);
      return read;
    },
    [Symbol.dispose]: clear,
  };
}
