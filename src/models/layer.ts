import { UserError, type Engine, type Tensor } from '../engine/index.js';
import type { Context } from './context.js';
import type { AttentionWeights, Family, MlpWeights, MoeWeights } from './family.js';
import { loadModule, type LoadedModule } from './loadModule.js';
import type { Parameters } from './parameters.js';
import { moduleSpecs, type ModuleKind, type WeightSpec } from './weightMap.js';

/** One decoder layer: attention and MLP, each of which can be skipped, loaded and unloaded on its own. */
export class Layer {
  #skip: Record<ModuleKind, boolean> = { attention: false, mlp: false };
  #loaded: { attention?: LoadedModule<AttentionWeights>; mlp?: LoadedModule<MlpWeights | MoeWeights> } = {};

  constructor(
    /** In the original model; dropping never renumbers. */
    readonly index: number,
    private readonly engine: Engine,
    private readonly family: Family,
    private readonly specs: readonly WeightSpec[],
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
    const module = this.#loaded[kind];
    if (!module)
      throw new UserError(`the ${kind} of layer ${this.index} is not loaded`, {
        hint: 'it was dropped, released or unloaded: load the layer, or skip it',
      });
    const { weights } = module;
    const delta = (add?: Tensor): Tensor =>
      kind === 'attention'
        ? this.family.attention(weights as AttentionWeights, hidden, ctx, add)
        : this.family.mlp(weights as MlpWeights, hidden, ctx, add);
    return ctx.add(hidden, kind, weights, delta);
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
    if (!this.skipAttention) this.#loaded.attention ??= await this.#read<AttentionWeights>('attention');
    if (!this.skipMlp) this.#loaded.mlp ??= await this.#read<MlpWeights | MoeWeights>('mlp');
  }

  #read<W extends object>(kind: ModuleKind): Promise<LoadedModule<W>> {
    return loadModule<W>(this.engine, this.parameters, moduleSpecs(this.specs, kind), kind, this.index);
  }

  /** Frees what is skipped. */
  release(): void {
    for (const kind of ['attention', 'mlp'] as const) if (this.#skip[kind]) this.#unload(kind);
  }

  /** Frees all. */
  unload(): void {
    this.#unload('attention');
    this.#unload('mlp');
  }

  #unload(kind: ModuleKind): void {
    this.#loaded[kind]?.dispose();
    this.#loaded[kind] = undefined;
  }
}
