import { checkOptions, whole } from '../engine/index.js';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileError } from './fileError.js';
import { writeSafetensors, type WriteOptions } from './safetensorsWriter.js';
import { tensorBytes, type TensorToWrite } from './tensorToWrite.js';
import { indexFile, singleFile } from './weightNames.js';

/** transformers' default size of a shard (bytes). */
export const defaultShardBytes = 5_000_000_000;

/** Cuts tensors into shards in their order; a tensor larger than a shard gets one of its own. */
export function planShards<T extends Omit<TensorToWrite, 'read'>>(
  tensors: readonly T[],
  shardBytes = defaultShardBytes,
): T[][] {
  const shards: T[][] = [];
  let room = 0;
  for (const tensor of tensors) {
    const bytes = tensorBytes(tensor);
    if (!shards.length || bytes > room) {
      shards.push([]);
      room = shardBytes;
    }
    shards[shards.length - 1].push(tensor);
    room -= bytes;
  }
  return shards;
}

/**
 * Writes the weights of a Hugging Face folder: `model.safetensors`, or numbered shards and their index when they take
 * more than `shardBytes`. Returns the names of the files written.
 */
export async function writeWeights(
  folder: string,
  tensors: readonly TensorToWrite[],
  o: WriteOptions & { shardBytes?: number } = {},
): Promise<string[]> {
  checkOptions(o, { shardBytes: whole(1) });
  const { shardBytes, onProgress, ...options } = o;
  const shards = planShards(tensors, shardBytes);
  if (shards.length <= 1) {
    await writeSafetensors(join(folder, singleFile), tensors, o);
    return [singleFile];
  }
  const total = tensors.reduce((sum, tensor) => sum + tensorBytes(tensor), 0);
  const number = (i: number): string => String(i).padStart(5, '0');
  const names = shards.map((_, i) => `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`);
  let before = 0;
  for (const [i, shard] of shards.entries()) {
    const report: WriteOptions['onProgress'] =
      onProgress && ((done) => onProgress({ ...done, bytesDone: before + done.bytesDone, bytesTotal: total }));
    await writeSafetensors(join(folder, names[i]), shard, { ...options, onProgress: report });
    before += shard.reduce((sum, tensor) => sum + tensorBytes(tensor), 0);
  }
  const weightMap = Object.fromEntries(
    shards.flatMap((shard, i) => shard.map(({ name }) => [name, names[i]] as const)),
  );
  const index = join(folder, indexFile);
  await writeFile(
    index,
    `${JSON.stringify({ metadata: { total_size: total }, weight_map: weightMap }, null, 2)}\n`,
  ).catch((error: unknown) => {
    throw fileError(error, 'cannot write', index);
  });
  return [...names, indexFile];
}
