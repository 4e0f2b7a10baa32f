import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { decodeFloats } from '../../src/engine/index.js';
import { SafetensorsFile } from '../../src/checkpoint/index.js';

/** What `test/oracle/make_fixtures.py` stores for a tiny checkpoint, computed by transformers in float32. */
export interface OracleCase {
  readonly name: string;
  readonly folder: string;
  /** B sequences of T token ids. */
  readonly inputIds: readonly number[][];
  /** [B * T, V] */
  readonly logits: Float32Array;
  readonly droppedLogits: Float32Array;
  readonly greedy: readonly number[][];
  readonly dropAttention: number[];
  readonly dropMlp: number[];
  readonly similarity: Readonly<Record<'attention' | 'mlp' | 'attentionBare' | 'mlpBare', Float32Array>>;
  /** [L, L], -Infinity where a window would pass the end. */
  readonly blocks: Float32Array;
}

const root = fileURLToPath(new URL('../..', import.meta.url));
export const shared = join(root, '../shared');
export const hasShared = existsSync(join(shared, 'oracle'));

/** Prints why, and is what `describe.skipIf` wants. */
export function withoutShared(what: string): boolean {
  if (!hasShared) console.warn(`skipped: ${what} needs ../shared beside the project`);
  return !hasShared;
}

/** Our own cases, and where ../shared is present, its cases of the families that we have. */
export function oracleFolders(): { name: string; folder: string }[] {
  const own = join(root, 'test/fixtures/cases');
  const cases = readdirSync(own).map((name) => ({ name: `fixtures/${name}`, folder: join(own, name) }));
  if (withoutShared('the larger set of conformance cases')) return cases;
  const folder = join(shared, 'oracle/cases');
  const ours = readdirSync(folder).filter((name) =>
    /^(llama|mistral|mixtral|odd|baichuan|gemma|granite|olmo2|phi|qwen|deepseek-moe|smollm3)/.test(name),
  );
  return [...cases, ...ours.map((name) => ({ name: `oracle/${name}`, folder: join(folder, name) }))];
}

export async function readOracleCase({ name, folder }: { name: string; folder: string }): Promise<OracleCase> {
  const file = await SafetensorsFile.open(join(folder, 'expected.safetensors'));
  const bytes = async (tensor: string): Promise<Uint8Array> => {
    const pieces: Uint8Array[] = [];
    for await (const piece of file.raw(tensor).read()) pieces.push(piece.slice());
    return Buffer.concat(pieces);
  };
  const floats = async (tensor: string): Promise<Float32Array> =>
    decodeFloats(Uint8Array.from(await bytes(tensor)), 'float32');
  const tokens = async (tensor: string): Promise<number[][]> => {
    const ids = Array.from(new BigInt64Array(Uint8Array.from(await bytes(tensor)).buffer), Number);
    const width = file.info(tensor).shape[1];
    return Array.from({ length: ids.length / width }, (_, i) => ids.slice(i * width, (i + 1) * width));
  };
  const expected = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')) as {
    drop_attn_list: number[];
    drop_mlp_list: number[];
  };
  const result = {
    name,
    folder,
    inputIds: await tokens('input_ids'),
    logits: await floats('logits'),
    droppedLogits: await floats('dropped_logits'),
    greedy: await tokens('greedy'),
    dropAttention: expected.drop_attn_list,
    dropMlp: expected.drop_mlp_list,
    similarity: {
      attention: await floats('attn_cos'),
      mlp: await floats('mlp_cos'),
      attentionBare: await floats('attn_cos_bare'),
      mlpBare: await floats('mlp_cos_bare'),
    },
    blocks: await floats('block_cos'),
  };
  await file.close();
  return result;
}
