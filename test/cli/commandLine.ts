import { Readable } from 'node:stream';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll } from 'vitest';
import { tensorOfSource, writeWeights } from '../../src/checkpoint/index.js';
import { run } from '../../src/cli/run.js';
import { createEngine } from '../../src/engine/index.js';
import { allWeights, createModel, tensorNames } from '../../src/models/index.js';

export const root = fileURLToPath(new URL('../..', import.meta.url));

/** Most commands compute on this one; built only by the tests that say so. */
export const backend = existsSync(join(root, 'src/engine/wasm/wasmBackend.ts')) ? 'wasm' : 'reference';

/** The engine that commands compute with: to the bit the same as a command is what has the same instructions. */
export const asCommands = { backend, v8Flags: true } as const;

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command line in this process, its output caught. */
export async function llmDrop(
  argv: readonly string[],
  o: { signal?: AbortSignal; stdin?: string } = {},
): Promise<Outcome> {
  let [stdout, stderr] = ['', ''];
  const code = await run(argv, {
    stdout: { write: (text) => void (stdout += text) },
    stderr: { write: (text) => void (stderr += text) },
    signal: o.signal,
    stdin: o.stdin === undefined ? undefined : Readable.from([o.stdin]),
  });
  return { code, stdout, stderr };
}

/** The document of a command that succeeds with --json, and the proof that it is the only thing on stdout. */
export async function document(...argv: string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await llmDrop([...argv, '--json', '--backend', backend]);
  if (code !== 0) throw new Error(`exit code ${code}: ${stderr}`);
  return JSON.parse(stdout) as Record<string, unknown>;
}

/** A folder that is removed after the tests of the file. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'llm-drop-cli-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export const layers = 4;

/** The `config.json` of the tests' model. */
export const config = {
  model_type: 'llama',
  vocab_size: 320,
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: layers,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  torch_dtype: 'float32',
  bos_token_id: 1,
  eos_token_id: 2,
};

/** A model of random weights with the fixtures' tokenizer, as a folder. */
export async function writeModel(folder: string, { seed = 1 }: { seed?: number } = {}): Promise<string> {
  mkdirSync(folder, { recursive: true });
  using engine = await createEngine('reference');
  const shape = {
    vocabSize: 320,
    hiddenSize: 16,
    intermediateSize: 24,
    numHiddenLayers: layers,
    numAttentionHeads: 2,
    numKeyValueHeads: 1,
  };
  using model = await createModel(shape, { seed, engine });
  const names = allWeights(model.description).flatMap(tensorNames);
  await writeWeights(
    folder,
    names.map((name) => tensorOfSource(model.parameters.source(name))),
  );
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  for (const name of ['tokenizer.json', 'tokenizer_config.json'])
    copyFileSync(join(root, 'test/fixtures/tokenizer', name), join(folder, name));
  return folder;
}

/** About 3000 tokens of the fixtures' tokenizer in short documents. */
export const stories = Array.from(
  { length: 60 },
  (_, i) =>
    `Once there was a girl with ${i} red balls. She gave ${i % 7} of them to her friend, and they played all day.`,
).join('<|endoftext|>');
