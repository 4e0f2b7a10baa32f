import { UserError } from '../engine/index.js';
import { adapterWeights } from './adapter/adapterFiles.js';

export const singleFile = 'model.safetensors';
export const indexFile = 'model.safetensors.index.json';

/** The names of a folder's weights: one file, or the index of several. */
export type NamedWeights =
  { readonly file: string; readonly index?: undefined } | { readonly file?: undefined; readonly index: string };

/**
 * Which of a folder's files are its weights: `model.safetensors` or `model.safetensors.index.json`; without them the only
 * other index, or the only other safetensors file, whatever it is called (programs that quantize have names of their own).
 * Undefined where there is none; UserError where there are several, with their names.
 */
export function namedWeights(folder: string, names: readonly string[]): NamedWeights | undefined {
  if (names.includes(singleFile)) return { file: singleFile };
  if (names.includes(indexFile)) return { index: indexFile };
  const ending = (end: string): string[] => names.filter((name) => name.endsWith(end)).sort();
  const indices = ending('.safetensors.index.json');
  if (indices.length === 1) return { index: indices[0] };
  const files = ending('.safetensors').filter((name) => name !== adapterWeights);
  if (indices.length === 0 && files.length === 1 && !isPart(files[0])) return { file: files[0] };
  if (files.some(isPart) && indices.length === 0)
    throw new UserError(`${folder} holds ${listed(files)}, but no index that says of which files the model is made`, {
      hint: `is the download complete? expected ${indexFile}`,
    });
  if (files.length > 1 || indices.length > 1)
    throw new UserError(`${folder} has no ${singleFile}, but ${listed(indices.length ? indices : files)}`, {
      hint: `leave one of them there, or name it ${indices.length ? indexFile : singleFile}`,
    });
  return undefined;
}

/** Whether it is one of several shards, `model-00001-of-00002.safetensors`. */
const isPart = (name: string): boolean => {
  const [, count] = /-\d+-of-(\d+)\.safetensors$/.exec(name) ?? [];
  return count !== undefined && Number(count) > 1;
};

/** Where `namedWeights` finds none. */
export function noWeights(folder: string, names: readonly string[]): UserError {
  const pickles = names.filter(
    (name) =>
      /\.(bin|pt|pth|ckpt)$/.test(name) && !/^(adapter_model|training_args|optimizer|scheduler|rng_state)/.test(name),
  );
  if (pickles.length)
    return new UserError(
      `${folder} has its weights in ${listed(pickles.sort())}: Python pickles, which are never opened`,
      {
        hint: pickles.some((name) => name.startsWith('pytorch_model'))
          ? `to convert them: python -c "from transformers import AutoModelForCausalLM as M; M.from_pretrained('${folder}', torch_dtype='auto').save_pretrained('NEW')", and copy the tokenizer's files`
          : 'save the model as safetensors with the program that made them',
      },
    );
  const others = names.filter((name) => /\.(gguf|safetensors)$/.test(name)).sort();
  const hint = others.length ? `it holds ${listed(others)}` : 'is the download complete?';
  return new UserError(`${folder} has neither ${singleFile} nor ${indexFile}`, { hint });
}

const listed = (names: readonly string[]): string => `${names.slice(0, 3).join(', ')}${names.length > 3 ? ', …' : ''}`;
