import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileError, formatJson, tensorOfSource, writeFolderAtomically, writeWeights } from '../checkpoint/index.js';
import type { Progress } from '../progress/index.js';
import { UserError, type WeightSource } from '../engine/index.js';
import { checkedIndices, recordedDrops, stayingTensors, type Drops, type OpenedModel } from '../models/index.js';
import type { Target } from './select.js';

export interface WriteDroppedOptions {
  /** Only `config.json` and the side files, to be laid over the original folder. */
  readonly configOnly?: boolean;
  /** Replace a model folder that is already there. */
  readonly overwrite?: boolean;
  /** Decides the numbering of `reserved_layers.json`. @defaultValue what the drops are: of one kind, of blocks, or joint */
  readonly target?: Target;
  /** How the model came about, a `DropRecord`: written as `drop_report.json`. @defaultValue none is written */
  readonly report?: { readonly schema: string };
  /** Stands in for a tensor of this name, of the same shape: a refit projection, say. */
  readonly replaced?: (name: string) => WeightSource | undefined;
  readonly onProgress?: Progress;
}

/** Lies in the folder of a dropped model. */
export const dropRecordFile = 'drop_report.json';

/**
 * Writes a checkpoint in LLM-Drop's format (docs/formats.md, 'LLM-Drop'): the lists as indices in `config.json`, the
 * weights of dropped modules left out, all names and numbers as in the original. What was dropped before stays dropped.
 * The folder appears whole or not at all.
 */
export async function writeDropped(
  { source, config, description }: OpenedModel,
  drops: Drops,
  out: string,
  o: WriteDroppedOptions = {},
): Promise<void> {
  if (o.configOnly && source.configPath === source.folder)
    throw new UserError(`${source.folder} is one file, over which no config.json can be laid`, {
      hint: 'write the whole model',
    });
  const given = {
    attention: checkedIndices(drops.attention, config.numHiddenLayers, 'the attention drop list'),
    mlp: checkedIndices(drops.mlp, config.numHiddenLayers, 'the MLP drop list'),
  };
  const all = mergeDrops(recordedDrops(config), given);
  const kept = stayingTensors(description, all, source.tensorNames());
  await writeFolderAtomically(
    out,
    async (folder) => {
      await source.copyAlong('tokenizer', folder);
      await source.copyAlong('quantization', folder);
      const lists = { drop_attn_list: all.attention, drop_mlp_list: all.mlp };
      await writeText(join(folder, 'config.json'), formatJson({ ...source.config, ...lists }, source.config));
      const target = o.target ?? targetOf(all);
      await writeJson(join(folder, 'reserved_layers.json'), reservedLayers(all, config.numHiddenLayers, target), 4);
      if (target === 'block')
        await writeJson(join(folder, 'layer_mapping.json'), layerMapping(all, config.numHiddenLayers), 4);
      if (o.report) await writeJson(join(folder, dropRecordFile), o.report, 2);
      if (o.configOnly) return;
      await writeWeights(
        folder,
        kept.flatMap((name) => {
          const replaced = o.replaced?.(name);
          return replaced ? tensorOfSource(replaced, name) : source.stored(name);
        }),
        {
          onProgress: ({ bytesDone, bytesTotal }) => o.onProgress?.(bytesDone, bytesTotal, 'bytes'),
        },
      );
    },
    { overwrite: o.overwrite, reads: [source.folder] },
  );
}

export const mergeDrops = (a: Drops, b: Drops): Drops => ({
  attention: union(a.attention, b.attention),
  mlp: union(a.mlp, b.mlp),
});

const union = (a: readonly number[], b: readonly number[]): number[] =>
  [...new Set([...a, ...b])].sort((x, y) => x - y);

function targetOf({ attention, mlp }: Drops): Target {
  if (mlp.length === 0) return 'attention';
  if (attention.length === 0) return 'mlp';
  return attention.join() === mlp.join() ? 'block' : 'joint';
}

/** Kept modules, ascending: layers, or for joint drops attentions 0 to L - 1 and MLPs L to 2L - 1. */
export function reservedLayers({ attention, mlp }: Drops, layers: number, target: Target): number[] {
  const all = Array.from({ length: layers }, (_, i) => i);
  const [a, m] = [all.filter((i) => !attention.includes(i)), all.filter((i) => !mlp.includes(i))];
  if (target === 'joint') return [...a, ...m.map((i) => i + layers)];
  return target === 'mlp' ? m : target === 'attention' ? a : all.filter((i) => a.includes(i) || m.includes(i));
}

/** Old index to new, over the blocks of which something is left. */
function layerMapping(drops: Drops, layers: number): Record<string, number> {
  return Object.fromEntries(reservedLayers(drops, layers, 'block').map((old, index) => [String(old), index]));
}

export const writeJson = (path: string, value: unknown, indent: number): Promise<void> =>
  writeText(path, JSON.stringify(value, null, indent));

export async function writeText(path: string, text: string): Promise<void> {
  await writeFile(path, `${text}\n`).catch((error: unknown) => {
    throw fileError(error, 'cannot write', path);
  });
}
