/**
 * A model said layer by layer: what each module computes and which weights it has. A family makes one of its config;
 * everything else reads it. D hidden size, H heads, K key-value heads, d head size, I intermediate size, E experts.
 */
import type { GgufMetadata, JsonObject } from '../checkpoint/index.js';
import type { Activation } from '../engine/index.js';
import type { ModelConfig } from './config.js';
import { changesWithLength, type RopeParameters } from './rope.js';
import { moduleKinds, theWeight, type ModuleKind, type WeightSpec } from './weights.js';

/** RMS norm. */
export interface NormDescription {
  readonly epsilon: number;
}

/** What attention and MLP have in common: `x + multiplier * postNorm(module(norm(x)))`. */
interface SubLayerDescription {
  /** At its entrance; where absent, the module reads the stream as it is. */
  readonly norm?: NormDescription;
  /** Of what it adds to the stream. */
  readonly postNorm?: NormDescription;
  /** Multiplies what it adds to the stream. @defaultValue 1 */
  readonly multiplier?: number;
  readonly weights: readonly WeightSpec[];
}

/** Causal attention with grouped heads: H query heads share K heads of keys and values. */
export interface AttentionDescription extends SubLayerDescription {
  readonly kind: 'attention';
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headDim: number;
  /** Multiplies the scores. */
  readonly scale: number;
  /** Keys that a query sees, itself included. @defaultValue all that came before */
  readonly window?: number;
  /** Scores become `softCap * tanh(score / softCap)`. */
  readonly softCap?: number;
  /** How queries and keys turn with the position. @defaultValue they do not */
  readonly rope?: RopeParameters;
  /** How many of a head's values turn. @defaultValue all */
  readonly rotaryDim?: number;
  /** ALiBi: a bias of `slope * (key position - query position)`, [H]. */
  readonly slopes?: readonly number[];
  /** RMS norms of queries and keys before they turn: of each head's d values, or of all heads' at once. */
  readonly queryKeyNorm?: NormDescription & { readonly over: 'head' | 'all' };
}

/** `down(activation(gate(x)) * up(x))` */
export interface GatedMlpDescription extends SubLayerDescription {
  readonly kind: 'gated';
  readonly intermediateSize: number;
  readonly activation: Activation;
}

/** A gated MLP that every token goes through, whatever its experts: `sigmoid(router x) * down(activation(gate x) * up x)`. */
export interface SharedExpertDescription {
  readonly intermediateSize: number;
  /** Its part of the mixture's weights; a `router` among them only where what it gives is weighed. */
  readonly weights: readonly WeightSpec[];
}

/** Each token goes through the top experts of E gated ones. */
export interface MixtureDescription extends SubLayerDescription {
  readonly kind: 'mixture';
  readonly experts: number;
  readonly topK: number;
  /** Of an expert. */
  readonly intermediateSize: number;
  readonly activation: Activation;
  /** Divide the chosen experts' weights by their sum. */
  readonly normalise: boolean;
  /** Multiplies the chosen experts' weights, after that. @defaultValue 1 */
  readonly scale?: number;
  /** Beside them, for every token. */
  readonly shared?: SharedExpertDescription;
}

export type MlpDescription = GatedMlpDescription | MixtureDescription;
export type ModuleDescription = AttentionDescription | MlpDescription;

export interface LayerDescription {
  readonly attention: AttentionDescription;
  readonly mlp: MlpDescription;
}

/** The embedding's weight is also the head's where they are tied. */
export interface EmbeddingDescription {
  readonly weight: WeightSpec;
  /** Multiplies its rows. @defaultValue 1 */
  readonly scale?: number;
}

/** `logits = head(norm(x))`, then scaled, then capped. */
export interface HeadDescription {
  readonly norm: NormDescription & { readonly weight: WeightSpec };
  /** [V, D]; undefined where it is the embedding. */
  readonly weight?: WeightSpec;
  /** Multiplies the logits. @defaultValue 1 */
  readonly scale?: number;
  /** Logits become `softCap * tanh(logit / softCap)`. */
  readonly softCap?: number;
}

/** What others call this kind of model. */
export interface Conventions {
  /** Of transformers' classes: `LlamaForCausalLM`. */
  readonly architecture: string;
  /** The module of the output projection. */
  readonly head: string;
  readonly gguf: {
    /** `general.architecture` */
    readonly architecture: string;
    /** Whether rows that rotate lie in the order of llama.cpp's pairs of neighbours. */
    readonly rotaryPairs: boolean;
    /** Whether a tensor may divide the rotary angles, which is how Llama 3's scaling is said. @defaultValue false */
    readonly ropeDivisors?: boolean;
    /** What llama.cpp computes of gates. @defaultValue 'silu' */
    readonly activation?: Activation;
    /** Whether llama.cpp applies the windows. @defaultValue false */
    readonly windows?: boolean;
    /** What llama.cpp takes for granted of this architecture's layers, where these are not so; else undefined. */
    readonly unlike?: (
      layers: readonly LayerDescription[],
      model: Pick<ModelDescription, 'config' | 'head'>,
    ) => string | undefined;
    /** What this architecture's files say beside what all do, by keys without the architecture. */
    readonly metadata?: GgufMetadata;
    /** Likewise, of the layers that are written. */
    readonly layerMetadata?: (layers: readonly LayerDescription[]) => GgufMetadata;
    /** Whether tensors hold the two lists of divisors of `longrope`. @defaultValue false */
    readonly longFactors?: boolean;
  };
  /** Lists in `config.json` of a value for each layer, written out where the file may leave them out. */
  readonly layerKeys?: Readonly<Record<string, readonly unknown[]>>;
  /** The key of `config.json` that says how many experts each mixture has. */
  readonly experts?: string;
  /**
   * What `config.json` says of which layers are mixtures, where it says so by their numbers: keys for the layers that are
   * left, by the keys of all. UserError where it cannot.
   */
  readonly mixtureKeys?: (layers: readonly LayerDescription[], keys: JsonObject) => JsonObject;
}

export interface ModelDescription {
  /** Sizes and keys that all families have. */
  readonly config: ModelConfig;
  readonly embedding: EmbeddingDescription;
  readonly layers: readonly LayerDescription[];
  readonly head: HeadDescription;
  readonly conventions: Conventions;
  /** What was odd in the config, and how it was taken: a sentence each. */
  readonly notes?: readonly string[];
}

/** The weights that belong to no layer: embedding, the head's norm, the head where it is not the embedding. */
export const globalWeights = ({ embedding, head }: ModelDescription): WeightSpec[] => [
  embedding.weight,
  head.norm.weight,
  ...(head.weight ? [head.weight] : []),
];

/** What makes logits of the last hidden states: the norm, and the projection, which may be the embedding. */
export const outputWeights = ({ embedding, head }: ModelDescription): WeightSpec[] => [
  head.norm.weight,
  head.weight ?? embedding.weight,
];

/** Of both modules of a layer. */
export const layerWeights = ({ attention, mlp }: LayerDescription): WeightSpec[] => [
  ...attention.weights,
  ...mlp.weights,
];

export const allWeights = (description: ModelDescription): WeightSpec[] => [
  ...globalWeights(description),
  ...description.layers.flatMap(layerWeights),
];

/** How many experts each mixture has, which is as many in each; 0 where no layer is one. */
export const expertCount = ({ layers }: Pick<ModelDescription, 'layers'>): number =>
  layers.reduce((most, { mlp }) => (mlp.kind === 'mixture' ? Math.max(most, mlp.experts) : most), 0);

/** Whether some layer has experts. */
export const hasExperts = ({ layers }: Pick<ModelDescription, 'layers'>): boolean =>
  layers.some(({ mlp }) => mlp.kind === 'mixture');

/**
 * Whether every layer computes as Llama's do, all of one shape: what architectures whose layers may lack a module, such as
 * `deci` and `nemotron-nas`, are made of.
 */
export const isLlamaLike = ({ layers, head, embedding }: ModelDescription): boolean =>
  embedding.scale === undefined &&
  head.softCap === undefined &&
  head.scale === undefined &&
  layers.every(
    ({ attention: a, mlp }) =>
      mlp.kind === 'gated' &&
      mlp.activation === 'silu' &&
      [a, mlp].every(({ norm, postNorm, multiplier }) => norm && !postNorm && multiplier === undefined) &&
      !a.queryKeyNorm &&
      a.rope === layers[0].attention.rope &&
      a.rope !== undefined &&
      !changesWithLength(a.rope) &&
      a.rotaryDim === undefined &&
      a.slopes === undefined &&
      a.softCap === undefined &&
      a.scale === a.headDim ** -0.5,
  );

/**
 * The projection through which a module writes to the stream; undefined where none does: a mixture has one an expert, and a
 * norm behind a module changes what its projection gives.
 */
export const outputWeight = (module: ModuleDescription): WeightSpec | undefined =>
  module.kind === 'mixture' || module.postNorm ? undefined : theWeight(module.weights, 'output');

/** The modules of a layer in running order. */
export const modulesOf = (layer: LayerDescription): readonly (readonly [ModuleKind, ModuleDescription])[] =>
  moduleKinds.map((kind) => [kind, layer[kind]]);
