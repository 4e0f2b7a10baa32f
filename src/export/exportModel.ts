import { readdir, stat } from 'node:fs/promises';
import { basename, extname, join, resolve } from 'node:path';
import { UserError, createEngine, type BackendName, type Engine, type WeightDType } from '../engine/index.js';
import {
  openCheckpoint,
  writeFolderAtomically,
  type Checkpoint,
  type JsonObject,
  type TensorToWrite,
} from '../checkpoint/index.js';
import type { Progress } from '../calibrate/index.js';
import { mergeDrops, openDropSource, writeDropped, type DropSource } from '../drop/index.js';
import { Model, familyOf, parseConfig, type Drops, type ModelConfig, type Parameters } from '../models/index.js';
import { sideConfigs } from '../quant/index.js';
import { checkVacant, writeFileAtomically } from './atomicFile.js';
import { dropWords, hasSubLayerDrops, reducedPlan, zeroedPlan, type ExportPlan } from './exportPlan.js';
import { floatType } from './ggmlBlocks.js';
import { GgufFile } from './ggufFile.js';
import { architectureOf, exactContext, ggufMetadata } from './ggufMetadata.js';
import { ggufModel } from './ggufModel.js';
import { deciPlan, ggufTensors, ggufTypeOfDType, type GgufType } from './ggufTensors.js';
import { ggufTokenizer } from './ggufTokenizer.js';
import { writeGguf } from './ggufWriter.js';
import { configText, floatTensors, plainConfig, writeCheckpoint, writeText } from './huggingFaceFolder.js';
import { findEvidence, modelCard, type CardFacts, type Evidence } from './modelCard.js';
import {
  configModule,
  configModuleText,
  nemotronConfig,
  nemotronPlan,
  nemotronText,
  nemotronWeights,
  paddedWidth,
  parseNemotron,
} from './nemotronNas.js';
import { packedTensors } from './packedTensors.js';
import { PlannedWeights, type PlannedWeight } from './plannedWeights.js';
import { proveRun, proveTensors, type Proof } from './proof.js';

export const exportFormats = ['llm-drop', 'hf', 'gguf', 'vllm'] as const;
export type ExportFormat = (typeof exportFormats)[number];

export const exportTypes = ['f32', 'f16', 'bf16', 'q8_0', 'q4_0', 'q4_1'] as const satisfies readonly GgufType[];
export type ExportType = GgufType;

export interface ExportOptions extends Evidence {
  readonly to: ExportFormat;
  /** Of matrices. @defaultValue as the checkpoint stores them */
  readonly type?: ExportType;
  /** A folder; for `gguf` a file. */
  readonly out: string;
  /** Keep every layer and zero the output projections of dropped modules: what any engine runs, without savings. */
  readonly zero?: boolean;
  /** Replace what is there. */
  readonly overwrite?: boolean;
  /** Dropped besides what the checkpoint has dropped and what the model skips. */
  readonly drops?: Partial<Drops>;
  /** What runs the check. @defaultValue the model's engine, or a new one of `backend` */
  readonly engine?: Engine;
  readonly backend?: BackendName;
  readonly threads?: number;
  readonly onProgress?: Progress;
}

export interface ExportResult {
  readonly to: ExportFormat;
  readonly out: string;
  /** Names of the files written, and of their bytes the sum. */
  readonly files: readonly string[];
  readonly bytes: number;
  /** `as stored`, or the type asked for. */
  readonly type: string;
  /** As the consumer calls it. */
  readonly architecture: string;
  /** Original numbers of the layers that the result has. */
  readonly layers: readonly number[];
  readonly drop: Drops;
  readonly zero: boolean;
  readonly proof: Proof;
  readonly notes: readonly string[];
}

/** A model to export: its folder, or one that is loaded, without what it skips now. */
export type ExportSource = string | DropSource | (DropSource & { readonly drops: Drops; readonly engine: Engine });

/**
 * Writes a model for another engine (spec 0). The result is read back from the disk, compared with the model that it
 * was made from over a few tokens, and only then appears under its name, with a model card.
 */
export async function exportModel(model: ExportSource, options: ExportOptions): Promise<ExportResult> {
  if (typeof model === 'string') {
    await using source = await openDropSource(model);
    return await exportModel(source, options);
  }
  checkOptions(options);
  const live = 'drops' in model ? model : undefined;
  const engine = options.engine ?? live?.engine ?? (await createEngine(options.backend, { threads: options.threads }));
  try {
    return await new Exporter(model, engine, options, live?.drops).run();
  } finally {
    if (!options.engine && !live) engine.dispose();
  }
}

const floatTypes: Readonly<Partial<Record<ExportType, WeightDType>>> = {
  f32: 'float32',
  f16: 'float16',
  bf16: 'bfloat16',
};

function checkOptions({ to, type, zero }: ExportOptions): void {
  if (to === 'llm-drop' && (type !== undefined || zero))
    throw new UserError('the llm-drop format holds the weights as they are, so it takes neither a type nor zeroing', {
      hint: 'hf, gguf and vllm do',
    });
  if (to !== 'gguf' && type !== undefined && !floatTypes[type])
    throw new UserError(`type ${type} is one of GGUF, but ${to} is not`, {
      hint: `${to} takes ${Object.keys(floatTypes).join(', ')}`,
    });
}

/** The largest relative difference of logits between a model and its copy with the same weights: only the order of sums may differ. */
const sameWeights = 1e-4;

const holds = (stored: WeightDType | undefined, given: WeightDType): boolean =>
  stored === 'float32' || stored === given;

/** The type whose blocks are the integers that a checkpoint stores. */
const storedType = ({ quantization }: Checkpoint): ExportType | undefined =>
  quantization && (quantization.symmetric ? 'q4_0' : 'q4_1');

/** What a format's part says of what it wrote. */
interface Written {
  readonly architecture: string;
  readonly plan: ExportPlan;
  /** Whether every weight is stored as it was, or wider. */
  readonly exact: boolean;
  /** Whether integers that the checkpoint stores are integers still. */
  readonly packed?: boolean;
  readonly remoteCode?: boolean;
  readonly notes: readonly string[];
}

class Exporter {
  readonly #drops: Drops;
  readonly #dtype: WeightDType | undefined;

  constructor(
    private readonly source: DropSource,
    private readonly engine: Engine,
    private readonly o: ExportOptions,
    skipped: Drops = { attention: [], mlp: [] },
  ) {
    const { dropAttention, dropMlp } = source.config;
    const asked = { attention: o.drops?.attention ?? [], mlp: o.drops?.mlp ?? [] };
    this.#drops = [skipped, asked].reduce(mergeDrops, { attention: dropAttention, mlp: dropMlp });
    this.#dtype = o.type && floatTypes[o.type];
  }

  async run(): Promise<ExportResult> {
    switch (this.o.to) {
      case 'llm-drop':
        return this.#folder((folder) => this.#llmDrop(folder));
      case 'hf':
        return this.#folder((folder) => this.#plain(folder));
      case 'vllm':
        return this.#folder((folder) => (this.#needsNemotron() ? this.#nemotron(folder) : this.#plain(folder)));
      case 'gguf':
        return this.#gguf();
    }
  }

  /** Everything in one folder, which appears when it is proved. */
  async #folder(write: (folder: string) => Promise<Written>): Promise<ExportResult> {
    const { out, overwrite } = this.o;
    const evidence = await findEvidence(this.source, this.o);
    return writeFolderAtomically(
      out,
      async (folder) => {
        const written = await write(folder);
        const result = await this.#proved(written, await this.#reread(folder, written));
        await writeText(
          join(folder, 'README.md'),
          await modelCard(this.source, this.#facts(written, result.proof), evidence),
        );
        const files = (await readdir(folder)).sort();
        return { ...result, files, bytes: await sizeOfAll(files.map((name) => join(folder, name))) };
      },
      { overwrite },
    );
  }

  async #llmDrop(folder: string): Promise<Written> {
    await writeDropped(this.source, this.#drops, folder, { onProgress: this.o.onProgress });
    return {
      architecture: this.source.config.modelType,
      plan: this.#everyLayer(),
      exact: true,
      packed: true,
      notes: [],
    };
  }

  async #plain(folder: string): Promise<Written> {
    const { checkpoint, config } = this.source;
    const plan = this.o.zero ? zeroedPlan(config, this.#drops) : this.#blocksAlone();
    const { tensors, keys, texts, packed } = await this.#tensors(this.#weights(plan).all());
    const text = configText({ ...plainConfig(checkpoint.config, plan, this.#dtype), ...keys }, checkpoint.config);
    await writeCheckpoint(folder, checkpoint, { 'config.json': text, ...texts }, tensors, this.o.onProgress);
    return { architecture: config.modelType, plan, exact: this.#isExact(plan), packed, notes: [] };
  }

  /** A folder's weights, as they came if no type is asked for, and what its config and files beside it say of packed ones. */
  async #tensors(weights: readonly PlannedWeight[]): Promise<{
    tensors: readonly TensorToWrite[];
    keys: JsonObject;
    texts: Readonly<Record<string, string>>;
    packed: boolean;
  }> {
    const { checkpoint } = this.source;
    const { quantization } = checkpoint;
    const packed = quantization && !this.#dtype ? await packedTensors(weights, checkpoint, quantization) : undefined;
    return packed
      ? {
          tensors: packed.tensors,
          keys: { quantization_config: packed.config },
          texts: sideConfigs(packed.config),
          packed: true,
        }
      : { tensors: floatTensors(weights, this.#dtype), keys: {}, texts: {}, packed: false };
  }

  #blocksAlone(): ExportPlan {
    const { to } = this.o;
    const { config } = this.source;
    if (hasSubLayerDrops(this.#drops)) {
      const others =
        config.modelType === 'mixtral' ? '' : `\`to\` ${to === 'hf' ? 'vllm or gguf' : 'gguf'} leaves them out; `;
      throw new UserError(
        `a plain ${config.modelType} checkpoint has an attention and an MLP in every layer, but this model lacks ${dropWords(this.#drops)}`,
        {
          hint: `\`zero\` keeps the layers and zeroes them, which any engine runs; ${others}\`to\` llm-drop lists them`,
        },
      );
    }
    return reducedPlan(config, this.#drops, 'absent');
  }

  #needsNemotron(): boolean {
    return !this.o.zero && hasSubLayerDrops(this.#drops) && this.source.config.modelType !== 'mixtral';
  }

  async #nemotron(folder: string): Promise<Written> {
    const { checkpoint, config } = this.source;
    const reduced = reducedPlan(config, this.#drops, 'absent');
    const plan = nemotronPlan(reduced);
    const { tensors, keys, texts, packed } = await this.#tensors(nemotronWeights(this.#weights(plan)));
    const written = { ...nemotronConfig(checkpoint.config, config, plan, this.#dtype), ...keys };
    const files = {
      'config.json': nemotronText(written, checkpoint.config),
      [configModule]: configModuleText,
      ...texts,
    };
    await writeCheckpoint(folder, checkpoint, files, tensors, this.o.onProgress);
    const width = paddedWidth(config);
    return {
      architecture: 'nemotron-nas',
      plan,
      exact: this.#isExact(plan),
      packed,
      remoteCode: true,
      notes: [
        ...(plan.layers[0].attention === 'zero'
          ? ['layer 0 keeps an attention with a zero output projection: vLLM cannot do without one there']
          : []),
        ...(width === config.intermediateSize
          ? []
          : [`MLPs are padded with zeros from ${config.intermediateSize} to ${width}, a multiple of 256`]),
        ...this.#windowNotes(),
      ],
    };
  }

  async #gguf(): Promise<ExportResult> {
    const { out, overwrite = false, onProgress } = this.o;
    const { checkpoint, config } = this.source;
    if (extname(out) !== '.gguf')
      throw new UserError(`${out} is no name of a GGUF file`, { hint: 'it must end in .gguf' });
    await checkVacant(out, overwrite);
    const evidence = await findEvidence(this.source, this.o);
    const plan = this.#ggufPlan();
    const weights = this.#weights(plan);
    const type = this.o.type ?? storedType(checkpoint) ?? ggufTypeOfDType[weights.dtype];
    const tokenizer = await ggufTokenizer(checkpoint.folder, config);
    const name = basename(resolve(checkpoint.folder));
    const metadata = { ...ggufMetadata(config, plan, { type, name }), ...tokenizer.metadata };
    const tensors = ggufTensors(weights, type);
    const written: Written = {
      architecture: architectureOf(plan),
      plan,
      exact: tensors.every(({ type, source }) => holds(floatType(type), source.dtype)),
      notes: [...this.#ggufNotes(plan), ...tokenizer.notes, ...this.#windowNotes()],
    };
    return writeFileAtomically(
      out,
      async (file) =>
        void (await writeGguf(file, metadata, tensors, (done, total) => onProgress?.(done, total, 'bytes'))),
      async (path) => {
        await using file = await GgufFile.open(path);
        await proveTensors(file, tensors, onProgress);
        const result = await this.#proved(written, await ggufModel(file, this.engine, config.rope));
        const card = cardBeside(out);
        const text = await modelCard(this.source, this.#facts(written, result.proof), evidence);
        return {
          result: { ...result, files: [basename(out), basename(card)], bytes: (await stat(path)).size },
          beside: { [card]: text },
        };
      },
      { overwrite },
    );
  }

  /** `deci` has no mixture of experts. */
  #ggufPlan(): ExportPlan {
    const { config } = this.source;
    if (this.o.zero) return zeroedPlan(config, this.#drops);
    if (config.modelType === 'mixtral') return reducedPlan(config, this.#drops, 'zero');
    return deciPlan(reducedPlan(config, this.#drops, 'absent'));
  }

  #ggufNotes({ layers }: ExportPlan): string[] {
    return [
      ...(layers[0].attention === 'absent'
        ? ['layer 0 keeps a zero attn_output, without keys and values: llama.cpp cannot do without one there']
        : []),
      ...(layers[0].attention === 'zero' && this.source.config.modelType !== 'mixtral' && !this.o.zero
        ? ['layer 0 keeps an attention with a zero attn_output: llama.cpp cannot do without any keys and values']
        : []),
      ...(layers.some(({ attention, mlp }) => attention === 'zero' || mlp === 'zero') &&
      this.source.config.modelType === 'mixtral' &&
      !this.o.zero
        ? [
            'llama.cpp has no mixture of experts that lacks modules, so their output projections are zero, and nothing is saved',
          ]
        : []),
    ];
  }

  #windowNotes(): string[] {
    const { slidingWindow, maxPositionEmbeddings } = this.source.config;
    if (slidingWindow === undefined || slidingWindow >= maxPositionEmbeddings) return [];
    return [
      `the engine does not apply the model's sliding window, so the context is limited to its ${exactContext(this.source.config)} tokens`,
    ];
  }

  #weights(plan: ExportPlan): PlannedWeights {
    const { checkpoint, config, specs } = this.source;
    return new PlannedWeights(checkpoint, config, specs, plan);
  }

  #isExact(plan: ExportPlan): boolean {
    const type = this.#dtype;
    return (
      type === undefined ||
      this.#weights(plan)
        .all()
        .every(({ source }) => holds(type, source.dtype))
    );
  }

  #everyLayer(): ExportPlan {
    return zeroedPlan(this.source.config, { attention: [], mlp: [] });
  }

  /** The model of a folder that was written. */
  async #reread(folder: string, { architecture }: Written): Promise<Model> {
    const checkpoint = await openCheckpoint(folder);
    const where = join(folder, 'config.json');
    const config =
      architecture === 'nemotron-nas'
        ? parseNemotron(checkpoint.config, this.source.config, where)
        : parseConfig(checkpoint.config, where);
    return new OwnedModel(this.engine, config, checkpoint);
  }

  /** Runs source and result, and closes the result. */
  async #proved(written: Written, result: Model): Promise<Omit<ExportResult, 'files' | 'bytes'>> {
    const { checkpoint, config } = this.source;
    const parameters = written.packed ? checkpoint : floatsOf(checkpoint);
    const source = new Model(this.engine, config, familyOf(config, checkpoint.folder), parameters);
    source.skip(this.#drops);
    try {
      const proof = await proveRun(source, result, {
        relative: written.exact ? sameWeights : undefined,
        onProgress: this.o.onProgress,
      });
      const { to, out, type, zero } = this.o;
      return {
        to,
        out,
        type: type ?? 'as stored',
        architecture: written.architecture,
        layers: written.plan.layers.map(({ original }) => original),
        drop: this.#drops,
        zero: zero ?? false,
        proof,
        notes: written.notes,
      };
    } finally {
      if (result instanceof OwnedModel) await result.checkpoint.close();
    }
  }

  #facts({ architecture, plan, notes, remoteCode = false }: Written, proof: Proof): CardFacts {
    const { to, out, type, zero } = this.o;
    return {
      to,
      out,
      type: type ?? 'as stored',
      architecture,
      zero: zero ?? false,
      drops: this.#drops,
      layers: plan.layers.map(({ original }) => original),
      notes,
      proof,
      remoteCode,
    };
  }
}

/** A checkpoint whose integers count as the floats that they stand for. */
const floatsOf = (checkpoint: Checkpoint): Parameters => ({
  folder: checkpoint.folder,
  has: (name) => checkpoint.has(name),
  source: (name) => checkpoint.source(name),
});

/** A model and the files that are read for it. */
class OwnedModel extends Model {
  constructor(
    engine: Engine,
    config: ModelConfig,
    readonly checkpoint: Awaited<ReturnType<typeof openCheckpoint>>,
  ) {
    super(engine, config, familyOf(config, checkpoint.folder), checkpoint);
  }
}

/** `model.gguf` -> `model.md` */
const cardBeside = (out: string): string => `${out.slice(0, -extname(out).length)}.md`;

async function sizeOfAll(paths: readonly string[]): Promise<number> {
  return (await Promise.all(paths.map((path) => stat(path)))).reduce((sum, { size }) => sum + size, 0);
}
