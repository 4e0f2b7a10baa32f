import { UseAfterFreeError, UserError, type Engine, type Tensor } from '../engine/index.js';
import type { Context } from './context.js';
import { attention, type AttentionWeights } from './attention.js';
import type { LayerDescription } from './description.js';
import { loadModule, type LoadedModule } from './loadModule.js';
import { mlp, type MlpWeights } from './mlp.js';
import type { Parameters } from './parameters.js';
import { moduleKinds, type ModuleKind } from './weights.js';

/** One decoder layer: attention and MLP, each of which can be skipped, loaded and unloaded on its own. */
export class Layer {
  #skip: Record<ModuleKind, boolean> = { attention: false, mlp: false };
  #disposed = false;
  #loaded: { attention?: LoadedModule<AttentionWeights>; mlp?: LoadedModule<MlpWeights> } = {};

  constructor(
    /** In the original model; dropping never renumbers. */
    readonly index: number,
    private readonly engine: Engine,
    readonly description: LayerDescription,
    private readonly parameters: Parameters,
    private readonly onSkipChange: () => void,
  ) {}

  get skipAttention(): boolean {
    return this.#skip.attention;
  }

  set skipAttention(skip: boolean) {
    this.#setSkip('attention', skip);
  }

  get skipMlp(): boolean {
    return this.#skip.mlp;
  }

  set skipMlp(skip: boolean) {
    this.#setSkip('mlp', skip);
  }

  #setSkip(kind: ModuleKind, skip: boolean): void {
    if (this.#skip[kind] === skip) return;
    this.#skip[kind] = skip;
    this.onSkipChange();
  }

  skips(kind: ModuleKind): boolean {
    return this.#skip[kind];
  }

  /** hidden [T, D] -> [T, D] */
  run(hidden: Tensor, ctx: Context): Tensor {
    if (!this.skipAttention) hidden = this.#residual(hidden, ctx, 'attention');
    if (!this.skipMlp) hidden = this.#residual(hidden, ctx, 'mlp');
    return hidden;
  }

  #residual(hidden: Tensor, ctx: Context, kind: ModuleKind): Tensor {
    this.#checkAlive();
    const module = this.#loaded[kind];
    if (!module)
      throw new UserError(`the ${kind} of layer ${this.index} is not loaded`, {
        hint: 'it was dropped, released or unloaded: load the layer, or skip it',
      });
    const { weights } = module;
    const { description } = this;
    const delta = (add?: Tensor): Tensor =>
      kind === 'attention'
        ? attention(description.attention, weights as AttentionWeights, hidden, ctx, add)
        : mlp(description.mlp, weights as MlpWeights, hidden, ctx, add);
    return ctx.add(hidden, kind, ctx.entrance(description[kind], weights), delta);
  }

  isLoaded(kind: ModuleKind): boolean {
    return this.#loaded[kind] !== undefined;
  }

  /** Bytes of its weights in the backend's memory. */
  get bytes(): number {
    return (this.#loaded.attention?.bytes ?? 0) + (this.#loaded.mlp?.bytes ?? 0);
  }

  /** Loads what is neither skipped nor loaded yet. */
  async load(): Promise<void> {
    for (const kind of moduleKinds) {
      this.#checkAlive();
      if (this.skips(kind) || this.#loaded[kind]) continue;
      const module = await loadModule<AttentionWeights & MlpWeights>(
        this.engine,
        this.parameters,
        this.description[kind].weights,
      );
      // Meanwhile, another call may have loaded it, or the model may be gone.
      if (this.#loaded[kind] || this.#disposed) module.dispose();
      else this.#loaded[kind] = module;
    }
    this.#checkAlive();
  }

  #checkAlive(): void {
    if (this.#disposed) throw new UseAfterFreeError(`layer ${this.index} of a model`);
  }

  /** Frees what is skipped. */
  release(): void {
    for (const kind of moduleKinds) if (this.#skip[kind]) this.#unload(kind);
  }

  /** Frees all. */
  unload(): void {
    moduleKinds.forEach((kind) => this.#unload(kind));
  }

  /** Frees all, for good. */
  dispose(): void {
    this.#disposed = true;
    this.unload();
  }

  #unload(kind: ModuleKind): void {
    this.#loaded[kind]?.dispose();
    this.#loaded[kind] = undefined;
  }
}
