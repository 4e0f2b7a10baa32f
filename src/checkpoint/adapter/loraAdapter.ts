import { UserError, type WeightSource } from '../../engine/index.js';
import { fileSystem } from '../files/index.js';
import type { ModelSource } from '../modelSource.js';
import { SafetensorsFile } from '../safetensorsFile.js';
import { SourceView } from '../sourceView.js';
import { adapterConfig, adapterWeights, readAdapterConfig } from './adapterFiles.js';
import { parseLoraConfig, type LoraConfig } from './loraConfig.js';
import { mergedWeight } from './mergedWeight.js';

/** A source into whose weights an adapter is merged as they are read, and that in a sentence. */
export interface Merged {
  readonly source: ModelSource;
  readonly note: string;
}

/**
 * Merges a LoRA adapter, a folder as PEFT writes it (docs/formats.md, 'LoRA adapters'), into a source. Reads headers only;
 * weights are merged as they are read. UserError where the adapter cannot be merged, or is not one of this model: a weight
 * that is missing, of another shape, or stored as integers of 4 bits.
 * @param tied the embedding, where it is the output projection too
 */
export async function mergeAdapter(source: ModelSource, folder: string, tied?: string): Promise<Merged> {
  const raw = await readAdapterConfig(folder);
  if (!raw)
    throw new UserError(`${folder} is not an adapter: it has no ${adapterConfig}`, {
      hint: `an adapter's folder, as PEFT saves it, holds ${adapterConfig} and ${adapterWeights}`,
    });
  const config = parseLoraConfig(raw, fileSystem.join(folder, adapterConfig));
  const file = await openAdapter(folder);
  const held = sorted(file);
  const merging: Merging = { source, file, config };
  const merged = new Map<string, () => WeightSource>();
  for (const [module, parts] of held.factors) merged.set(`${module}.weight`, () => adapted(merging, module, parts));
  for (const [name, tensor] of held.whole) merged.set(name, () => replaced(merging, name, tensor, tied));
  // What does not fit is told now.
  for (const make of merged.values()) make();
  if (!merged.size) throw new UserError(`${file.path} holds no tensor`);
  const others = held.whole.size;
  const whole = others ? `; in place of the model's own ${others === 1 ? 'is' : 'are'} ${others} of its tensors` : '';
  const count = held.factors.size;
  const note = `the LoRA adapter ${folder} is merged into ${count} ${count === 1 ? 'weight' : 'weights'}${whole}`;
  return { source: new SourceView(source, { replaced: merged }), note };
}

async function openAdapter(folder: string): Promise<SafetensorsFile> {
  const names = await fileSystem.readdir(folder);
  const pickle = names.includes(adapterWeights) ? undefined : names.find((name) => name === 'adapter_model.bin');
  if (pickle !== undefined)
    throw new UserError(`${folder} holds ${pickle}: a Python pickle, which is never opened`, {
      hint: 'PEFT converts it: load the adapter, and save it again with save_pretrained',
    });
  const file = await SafetensorsFile.open(fileSystem.join(folder, adapterWeights), { finite: true });
  // Factors are read once each, so none of them leaves the file open.
  await file.close();
  return file;
}

interface Merging {
  readonly source: ModelSource;
  readonly file: SafetensorsFile;
  readonly config: LoraConfig;
}

type Part = 'lora_A' | 'lora_B' | 'lora_magnitude_vector';

interface Sorted {
  /** Names of the factors' tensors, by module. */
  readonly factors: ReadonlyMap<string, Partial<Record<Part, string>>>;
  /** Names of tensors that take the place of the model's, by the model's names. */
  readonly whole: ReadonlyMap<string, string>;
}

/** The tensors of an adapter's file by what they are. PEFT's own wrapping around names is left out. */
function sorted(file: SafetensorsFile): Sorted {
  const factors = new Map<string, Partial<Record<Part, string>>>();
  const whole = new Map<string, string>();
  for (const tensor of file.tensorNames()) {
    const name = tensor.replace(/^base_model\.model\./, '').replace(/\.(base_layer|modules_to_save)\b/g, '');
    const [, module, part] =
      /^(.+)\.(lora_A|lora_B|lora_magnitude_vector)(?:\.default)?(?:\.weight)?$/.exec(name) ?? [];
    if (module !== undefined) factors.set(module, { ...factors.get(module), [part]: tensor });
    else if (/\blora_|trainable_tokens/.test(name))
      throw new UserError(`${file.path}: tensor ${tensor} is not merged`, {
        hint: 'factors of linear modules are: lora_A, lora_B and lora_magnitude_vector',
      });
    else whole.set(name.replace(/\.default(?=\.[^.]+$)/, ''), tensor);
  }
  return { factors, whole };
}

function adapted(
  { source, file, config }: Merging,
  module: string,
  parts: Partial<Record<Part, string>>,
): WeightSource {
  const { lora_A: down, lora_B: up, lora_magnitude_vector: magnitude } = parts;
  if (down === undefined || up === undefined)
    throw new UserError(`${file.path}: of ${module}, ${down === undefined ? 'lora_A' : 'lora_B'} is missing`);
  if (config.dora !== (magnitude !== undefined))
    throw new UserError(
      `${file.path}: of ${module}, lora_magnitude_vector is ${magnitude === undefined ? 'missing' : 'there'}, but use_dora of ${adapterConfig} is ${config.dora}`,
    );
  const name = `${module}.weight`;
  const [out, width] = targetShape(source, file, name, 2);
  const rank = config.rank(module);
  expectShape(file, down, [rank, width], `${name} [${out},${width}] and the rank ${rank} of ${adapterConfig}`);
  expectShape(file, up, [out, rank], `${name} [${out},${width}] and the rank ${rank} of ${adapterConfig}`);
  if (magnitude !== undefined) expectShape(file, magnitude, [out], `${name} [${out},${width}]`);
  if (source.int4(name))
    throw new UserError(`${source.folder}: ${name} is stored in 4 bits, so ${file.path} cannot be merged into it`, {
      hint: 'merge the adapter into the model of floats, and quantize what comes out',
    });
  return mergedWeight(source.source(name), {
    down: file.source(down),
    up: file.source(up),
    scale: config.scale(module),
    magnitude: magnitude === undefined ? undefined : file.source(magnitude),
  });
}

/** A tensor that was trained whole. */
function replaced({ source, file }: Merging, name: string, tensor: string, tied: string | undefined): WeightSource {
  const shape = targetShape(source, file, name);
  expectShape(file, tensor, shape, `${name} [${shape.join(',')}]`);
  if (name === tied)
    throw new UserError(
      `${file.path} replaces ${name}, which is the output projection too: whether that changes as well is not said`,
      { hint: 'merge it with PEFT (merge_and_unload), and give the model that comes out' },
    );
  return { ...file.source(tensor), name };
}

function targetShape(source: ModelSource, file: SafetensorsFile, name: string, axes?: number): readonly number[] {
  if (!source.has(name))
    throw new UserError(`${file.path} adapts ${name}, which ${source.folder} does not have`, {
      hint: 'is it an adapter of this model? of a dropped one, it goes with the whole model',
    });
  const { shape } = source.info(name);
  if (axes !== undefined && shape.length !== axes)
    throw new UserError(`${file.path} adapts ${name}, which is [${shape.join(',')}], not a matrix`);
  return shape;
}

function expectShape(file: SafetensorsFile, tensor: string, wanted: readonly number[], beside: string): void {
  const { shape } = file.info(tensor);
  if (shape.join() !== wanted.join())
    throw new UserError(
      `${file.path}: tensor ${tensor} is [${shape.join(',')}], expected [${wanted.join(',')}] beside ${beside}`,
    );
}
