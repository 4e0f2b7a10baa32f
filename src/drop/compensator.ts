import type { SavedProgress } from '../progress/index.js';
import { ModuleRows, embedded, moduleStream, type HiddenStates, type WalkOptions } from '../walk/index.js';
import {
  UserError,
  arraySource,
  decodeFloats,
  firstNotFinite,
  number,
  type Tensor,
  type WeightSource,
} from '../engine/index.js';
import {
  Model,
  outputWeight,
  weightSource,
  type ModelDescription,
  type Observer,
  type Parameters,
  type WeightSpec,
} from '../models/index.js';
import { ProjectionFit } from './compensateFit.js';
import type { ModuleAt, Stretch } from './compensatePlan.js';
import type { RefitWeights } from './compensateWeights.js';

/** One projection that was refit, and what it made of the rows that it was fitted on. */
export interface Refit extends ModuleAt {
  /** Its tensor in the checkpoint. */
  readonly tensor: string;
  /** What was added to the diagonal of Z'Z. */
  readonly lambda: number;
  /** Mean over tokens of the squared distance from the whole model's stream, before and after. */
  readonly errorBefore: number;
  readonly errorAfter: number;
}

/** How far an interrupted compensation has come. */
export interface CompensationState {
  /** The next stretch of the plan. */
  readonly next: number;
  /** Whether the streams of the two models differ by then. */
  readonly apart: boolean;
  readonly refits: readonly Refit[];
}

/** Where the state is kept: a `ProgressFile` is one. */
export type CompensationProgress = SavedProgress<CompensationState>;

/** What `alpha` may be. */
export const alphaOption = number('a number of at least 0', (alpha) => alpha >= 0 && alpha < Infinity);

export interface CompensatorOptions extends Omit<WalkOptions, 'observer'> {
  /** lambda as a multiple of mean diag(Z'Z). @defaultValue 1 */
  readonly alpha?: number;
  /** The dropped model's weights, where they are not the whole model's. */
  readonly weights?: Parameters;
  /** Continues what it holds, and saves there after each module. */
  readonly progress?: CompensationProgress;
}

/**
 * Runs two models side by side, one stretch at a time: the whole one, and the dropped one with what has been refit so
 * far. The streams between modules are kept as hidden states; those of the dropped model only from where the two
 * differ.
 */
export class Compensator implements Disposable {
  readonly #whole: ModuleRows;
  readonly #dropped: ModuleRows;
  readonly #alpha: number;
  readonly #tokens: number;
  /** Rows that have passed a module so far, and the total. */
  #passed = 0;
  #total = 0;

  constructor(
    { engine, description, parameters }: Model,
    private readonly rows: readonly Int32Array[],
    states: readonly [whole: HiddenStates, dropped: HiddenStates],
    private readonly weights: RefitWeights,
    private readonly options: CompensatorOptions,
  ) {
    const rowsOf = (source: Parameters, waiting: HiddenStates): ModuleRows =>
      new ModuleRows(new Model(engine, description, source), rows, waiting, options.signal);
    this.#whole = rowsOf(parameters, states[0]);
    this.#dropped = rowsOf(weights.over(options.weights ?? parameters), states[1]);
    this.#alpha = options.alpha ?? 1;
    this.#tokens = rows.reduce((sum, { length }) => sum + length, 0);
  }

  async run(stretches: readonly Stretch[]): Promise<readonly Refit[]> {
    const { progress } = this.options;
    let state = progress?.previous ?? { next: 0, apart: this.options.weights !== undefined, refits: [] };
    for (const { tensor } of state.refits) await this.weights.restore(tensor);
    this.#count(stretches, state);
    for (let at = state.next; at < stretches.length; at++) {
      const [start, end] = [
        startOf(stretches[at]),
        at + 1 < stretches.length ? startOf(stretches[at + 1]) : 2 * this.#whole.model.layers.length,
      ];
      if (at === 0) await this.#embed(start);
      for (const { states } of [this.#whole, this.#dropped]) states.keep([start]);
      state = await this.#stretch(stretches[at], end, state);
      for (const { states } of [this.#whole, this.#dropped]) states.sync();
      await progress?.save(state, this.weights.files);
    }
    return state.refits;
  }

  async #embed(start: number): Promise<void> {
    for (const { model, states } of this.options.weights ? [this.#whole, this.#dropped] : [this.#whole])
      for (const [row, tokens] of this.rows.entries()) {
        this.options.signal?.throwIfAborted();
        states.write(start, row, await embedded(model, tokens));
      }
  }

  #count(stretches: readonly Stretch[], { next }: CompensationState): void {
    let apart = this.options.weights !== undefined;
    for (const [at, stretch] of stretches.entries()) {
      apart ||= !isShared(stretch);
      const passes = modulesOf(stretch).length + (stretch.refit ? 1 : 0) + (stretch.stays && apart ? 1 : 0);
      this.#total += passes * this.rows.length;
      if (at < next) this.#passed += passes * this.rows.length;
    }
  }

  /** Runs both models through one stretch: the whole one first, since the other is fitted to its output. */
  async #stretch(stretch: Stretch, end: number, state: CompensationState): Promise<CompensationState> {
    const { stays, refit } = stretch;
    const start = startOf(stretch);
    const apart = state.apart || !isShared(stretch);
    if (apart && !state.apart) this.#copy(this.#whole.states, start, this.#dropped.states, start);
    const modules = modulesOf(stretch);
    for (const [at, module] of modules.entries()) {
      const next = at + 1 < modules.length ? streamOf(modules[at + 1]) : end;
      await this.#advance(this.#whole, module, next);
      this.#whole.states.keep([start, next]); // an interrupted run continues from `start`
    }
    const made = refit ? [await this.#refit(stays!, end)] : [];
    if (apart && stays) await this.#advance(this.#dropped, stays, end);
    else if (apart) this.#copy(this.#dropped.states, start, this.#dropped.states, end);
    return { next: state.next + 1, apart, refits: [...state.refits, ...made] };
  }

  /**
   * Fits a module's output projection, so that the stream after it is near the whole model's stream number `target`.
   */
  async #refit(module: ModuleAt, target: number): Promise<Refit> {
    const { layer, kind } = module;
    const { model } = this.#dropped;
    const { engine } = model;
    const output = outputOf(model.description, module)!;
    const { multiplier = 1 } = model.description.layers[layer][kind];
    const [outputs, inputs] = output.shape;
    using fit = new ProjectionFit(engine, inputs, outputs);
    using minusOne = engine.tensor([-1]);
    let entering: Tensor | undefined;
    const observer: Observer = {
      input: ({ paths, input }) => void (paths.includes(output.projection!) && (entering = input.detach())),
    };
    const add = async (after: Tensor, row: number): Promise<void> => {
      using z = entering!;
      const wanted = engine.tensor(this.#whole.states.read(target, row), after.shape);
      const writes = multiplier === 1 ? z : engine.map(z, ['multiply', 'x', multiplier]);
      await fit.add(writes, engine.add(wanted, engine.multiply(after, minusOne)));
      this.#step();
    };
    await this.#dropped.loaded(layer, kind, () => this.#dropped.run(layer, kind, { observer, onRow: add }));
    const stored = weightSource(model.parameters, output);
    const weight = decodeFloats(await stored.readRows(0, outputs), stored.dtype);
    const fitted = await fit.solve(weight, this.#alpha, stored.name);
    await this.weights.set(await encoded(fitted.weight, stored));
    const { lambda, errorBefore, errorAfter } = fitted;
    const [before, after] = [errorBefore / this.#tokens, errorAfter / this.#tokens];
    return { ...module, tensor: stored.name, lambda, errorBefore: before, errorAfter: after };
  }

  async #advance(through: ModuleRows, { layer, kind }: ModuleAt, to: number): Promise<void> {
    const onRow = async (after: Tensor, row: number): Promise<void> => {
      through.states.write(to, row, await through.model.engine.readFloats(after));
      this.#step();
    };
    await through.loaded(layer, kind, () => through.run(layer, kind, { onRow }));
  }

  #copy(from: HiddenStates, start: number, to: HiddenStates, end: number): void {
    for (const row of this.rows.keys()) to.write(end, row, from.read(start, row).slice());
  }

  #step(): void {
    this.options.onProgress?.(++this.#passed, this.#total, 'rows through modules');
  }

  [Symbol.dispose](): void {
    for (const { model, states } of [this.#whole, this.#dropped]) {
      model.dispose();
      states[Symbol.dispose]();
    }
  }
}

/**
 * A refit weight, rounded to the file's type. The rest of the fit sees it so, and corrects the rounding like any other
 * error.
 */
async function encoded(weight: Float32Array, { name, shape, dtype }: WeightSource): Promise<WeightSource> {
  const source = arraySource(weight, shape, { name, dtype });
  if (firstNotFinite(await source.readRows(0, shape[0]), dtype) >= 0)
    throw new UserError(`${name}: the refit weight does not fit in ${dtype}`, { hint: 'try a larger alpha' });
  return source;
}

/** The output projection of a module, where it has one: see `outputWeight`. */
export const outputOf = ({ layers }: ModelDescription, { layer, kind }: ModuleAt): WeightSpec | undefined =>
  outputWeight(layers[layer][kind]);

/** Whether both models compute the same in a stretch. */
const isShared = ({ dropped, refit }: Stretch): boolean => dropped.length === 0 && !refit;

const streamOf = ({ layer, kind }: ModuleAt): number => moduleStream(layer, kind);

/** The stream that enters a stretch. */
const startOf = (stretch: Stretch): number => streamOf(modulesOf(stretch)[0]);

const modulesOf = ({ stays, dropped }: Stretch): readonly ModuleAt[] => [...(stays ? [stays] : []), ...dropped];
