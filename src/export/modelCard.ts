import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { modelName, readJsonObject } from '../checkpoint/index.js';
import { dropRecordFile, parseImportance, type DropRecord, type Importance } from '../drop/index.js';
import { UserError } from '../engine/index.js';
import { quantizeRecordFile } from '../quant/index.js';
import type { Drops, OpenedModel } from '../models/index.js';
import { expertCommand, expertSection, expertWords, expertsOf } from './expertCard.js';
import type { Proof } from './proof.js';
import { numbersOf } from './reportNumbers.js';

/** What is known of how the drops were chosen: given, or found in the model's folder. */
export interface Evidence {
  readonly importance?: Importance;
  readonly report?: Partial<Pick<DropRecord, 'loss' | 'before' | 'after' | 'experts' | 'metric'>>;
  /** What was merged into the weights when the folder was made, in a sentence. */
  readonly merged?: string;
}

/** Where `score --out` and `drop --json` results are looked for, in the model's folder. */
const importanceFile = 'importance.json';

export async function findEvidence({ source, config }: OpenedModel, given: Evidence): Promise<Evidence> {
  const read = (name: string): ReturnType<typeof readJsonObject> => readJsonObject(join(source.folder, name));
  const importance = given.importance ? undefined : await read(importanceFile);
  const report = given.report ? undefined : await read(dropRecordFile);
  const quantized = await read(quantizeRecordFile);
  const [merged] = [report?.merged, quantized?.merged].filter((told) => typeof told === 'string');
  return {
    merged,
    importance:
      given.importance ??
      (importance && parseImportance(importance, config.numHiddenLayers, join(source.folder, importanceFile))),
    report: given.report ?? (report && parseReport(report, join(source.folder, dropRecordFile))),
  };
}

/** The part of a drop's result that a card shows. */
export function parseReport(value: unknown, where: string): NonNullable<Evidence['report']> {
  if (typeof value !== 'object' || value === null) throw new UserError(`${where} holds no report of a drop`);
  const { before, after, loss } = value as Record<string, unknown>;
  const size = ['parameters', 'bytes', 'kvBytesPerToken'] as const;
  const measured = numbersOf(loss, ['rows', 'before', 'after', 'difference'], `loss of ${where}`);
  const { standardError } = (loss ?? {}) as { standardError?: unknown };
  return {
    before: numbersOf(before, size, `before of ${where}`),
    after: numbersOf(after, size, `after of ${where}`),
    ...expertsOf(value, where),
    loss: measured && { ...measured, standardError: Number.isFinite(standardError) ? Number(standardError) : null },
  };
}

export interface CardFacts {
  readonly to: 'llm-drop' | 'hf' | 'gguf' | 'vllm';
  readonly out: string;
  readonly type: string;
  readonly architecture: string;
  readonly zero: boolean;
  readonly drops: Drops;
  /** Original numbers of the layers that the result has, in its order. */
  readonly layers: readonly number[];
  readonly notes: readonly string[];
  readonly proof: Proof;
  /** A custom config class comes with the folder. */
  readonly remoteCode: boolean;
}

/** The model card (`README.md`) of an export. */
export async function modelCard(opened: OpenedModel, facts: CardFacts, evidence: Evidence): Promise<string> {
  const { config } = opened;
  const base = await baseModel(opened);
  const { drops, layers, notes } = facts;
  return [
    ...frontMatter(base, facts),
    `# ${nameOf(base)} without ${[...expertWords(evidence.report), ...modules(drops)].join(' and ') || 'any drop'}`,
    '',
    `Made with [llm-drop](https://www.npmjs.com/package/llm-drop) from \`${base}\` (${config.modelType}, ${config.numHiddenLayers} layers). ${savings(drops, config.numHiddenLayers)}`,
    '',
    ...mergedSection(opened, evidence),
    '## What was dropped',
    '',
    '| | layers of the original |',
    '|---|---|',
    `| attention | ${drops.attention.join(', ') || 'none'} |`,
    `| MLP | ${drops.mlp.join(', ') || 'none'} |`,
    '',
    methodWords(facts, config.numHiddenLayers),
    ...expertSection(evidence.report),
    ...(layers.length < config.numHiddenLayers
      ? ['', `Layers of the result, by their numbers in the original: ${layers.join(', ')}.`]
      : []),
    '',
    ...scoreSection(evidence, drops),
    ...sizeSection(evidence),
    ...lossSection(evidence),
    '## Reproduce',
    '',
    '```sh',
    ...reproduction(base, facts, evidence),
    '```',
    '',
    '## Run',
    '',
    ...running(facts),
    '',
    '## Checked',
    '',
    `Read back from the disk and run on ${facts.proof.prompt.length} tokens: the next token's logits are within ${facts.proof.largestDifference.toPrecision(2)} of those of the model it was made from, whose largest is ${facts.proof.largestLogit.toPrecision(3)}${facts.proof.token === facts.proof.sourceToken ? '; the likeliest token is the same' : ''}.`,
    ...(notes.length ? ['', '## Notes', '', ...notes.map((note) => `- ${note}`)] : []),
    '',
  ].join('\n');
}

/** What the source's own card, config or folder calls the model it came from. */
async function baseModel({ source }: OpenedModel): Promise<string> {
  const card = await readFile(join(source.folder, 'README.md'), 'utf8').catch(() => '');
  const [, told] =
    /^base_model:\s*["']?([^\s"'[\]]+)["']?\s*$/m.exec(/^---\n([\s\S]*?)\n---/.exec(card)?.[1] ?? '') ?? [];
  const { _name_or_path: path } = source.config;
  return told ?? (typeof path === 'string' && path ? path : modelName(source.folder));
}

/** What was merged into the weights now, or when what is exported was made. */
function mergedSection({ merged: now }: OpenedModel, { merged: before }: Evidence): string[] {
  const all = [before, now].filter((sentence) => sentence !== undefined);
  return all.length ? ['## What was merged', '', ...all.map((sentence) => `- ${sentence}`), ''] : [];
}

const nameOf = (base: string): string => basename(base);

function frontMatter(base: string, { to, drops }: CardFacts): string[] {
  return [
    '---',
    `base_model: ${JSON.stringify(base)}`,
    ...(to === 'hf' || to === 'llm-drop' ? ['library_name: transformers'] : []),
    'pipeline_tag: text-generation',
    'tags:',
    '  - llm-drop',
    '  - layer-dropping',
    ...(to === 'gguf' ? ['  - gguf'] : []),
    `drop_attn_list: [${drops.attention.join(', ')}]`,
    `drop_mlp_list: [${drops.mlp.join(', ')}]`,
    '---',
    '',
  ];
}

function modules({ attention, mlp }: Drops): string[] {
  const count = (n: number, one: string, many: string): string[] => (n ? [`${n} ${n === 1 ? one : many}`] : []);
  return [...count(attention.length, 'attention', 'attentions'), ...count(mlp.length, 'MLP', 'MLPs')];
}

function savings({ attention }: Drops, layers: number): string {
  return attention.length
    ? `Its key-value cache is ${Math.round((100 * attention.length) / layers)} % smaller where the engine keeps none for a missing attention.`
    : '';
}

function methodWords({ to, zero, architecture }: CardFacts, layers: number): string {
  if (zero)
    return `All ${layers} layers are kept; the output projections of the dropped modules are zero, which computes the same and saves nothing. Any engine that runs the original runs this.`;
  switch (to) {
    case 'llm-drop':
      return "The weights of dropped modules are left out and `config.json` lists them (LLM-Drop's format); layers keep their numbers.";
    case 'hf':
      return 'Layers of which nothing is left are taken out and the others renumbered: a plain checkpoint.';
    case 'vllm':
      return architecture === 'nemotron-nas'
        ? 'Architecture `nemotron-nas` (DeciLM): `block_configs` says which layers lack an attention or an MLP.'
        : 'Layers of which nothing is left are taken out and the others renumbered: a plain checkpoint.';
    case 'gguf':
      return architecture === 'deci'
        ? 'GGUF architecture `deci`, which knows layers without an attention. A dropped MLP is one of zeros, of a width of 32.'
        : 'GGUF architecture `llama`: layers of which nothing is left are taken out; other dropped modules, if any, have zero output projections.';
  }
}

function scoreSection({ importance }: Evidence, drops: Drops): string[] {
  if (!importance) return [];
  const { similarity, samples, length, tokens, metric, spread } = importance;
  const cell = (score: number | null | undefined, dropped: boolean): string =>
    typeof score !== 'number' ? '' : dropped ? `**${score.toFixed(4)}**` : score.toFixed(4);
  return [
    '## Scores',
    '',
    `Similarity (${metric}) of what enters and what leaves each module, over ${samples} calibration rows of ${length} tokens${spread ? ' from all over the text' : ''} (${tokens} in all); the higher, the more redundant. Dropped ones are bold.`,
    '',
    '| layer | attention | MLP | block |',
    '|--:|--:|--:|--:|',
    ...similarity.attention.map((score, i) => {
      const [a, m] = [drops.attention.includes(i), drops.mlp.includes(i)];
      return `| ${i} | ${cell(score, a)} | ${cell(similarity.mlp[i], m)} | ${cell(similarity.block[i], a && m)} |`;
    }),
    '',
  ];
}

function sizeSection({ report }: Evidence): string[] {
  const { before, after } = report ?? {};
  if (!before || !after) return [];
  const row = (name: string, key: 'parameters' | 'bytes' | 'kvBytesPerToken'): string =>
    `| ${name} | ${before[key].toLocaleString('en-US')} | ${after[key].toLocaleString('en-US')} |`;
  return [
    '## Size',
    '',
    '| | before | after |',
    '|---|--:|--:|',
    row('parameters', 'parameters'),
    row('bytes of weights', 'bytes'),
    row('key-value bytes a token (float32)', 'kvBytesPerToken'),
    '',
  ];
}

function lossSection({ report }: Evidence): string[] {
  if (!report?.loss) return [];
  const { rows, before, after, difference, standardError } = report.loss;
  return [
    '## Loss',
    '',
    '| | nats a token |',
    '|---|--:|',
    `| before | ${before.toFixed(4)} |`,
    `| after | ${after.toFixed(4)} |`,
    `| difference | ${difference.toFixed(4)}${standardError === null ? '' : ` ± ${standardError.toFixed(4)}`} |`,
    '',
    `On ${rows} rows that the scores have not seen.`,
    '',
  ];
}

function reproduction(
  base: string,
  { to, type, zero, drops, out }: CardFacts,
  { importance, report }: Evidence,
): string[] {
  const lists = [
    ...(drops.attention.length ? [`--drop-attn ${drops.attention.join(',')}`] : []),
    ...(drops.mlp.length ? [`--drop-mlp ${drops.mlp.join(',')}`] : []),
  ];
  const name = basename(out);
  const experts = report && expertCommand(base, report);
  const model = lists.length ? 'dropped' : experts ? 'fewer' : base;
  return [
    ...(importance
      ? [
          `llm-drop score ${base} --calibration TEXT --samples ${importance.samples}${importance.spread ? ' --spread' : ''} --length ${importance.length} --out importance.json`,
        ]
      : []),
    ...(experts ? [`${experts} --out fewer`] : []),
    ...(lists.length ? [`llm-drop drop ${experts ? 'fewer' : base} ${lists.join(' ')} --out dropped`] : []),
    `llm-drop export ${model} --to ${to}${type === 'as stored' ? '' : ` --type ${type}`}${zero ? ' --zero' : ''} --out ${name}`,
  ];
}

function running({ to, out, remoteCode, zero, architecture }: CardFacts): string[] {
  const name = basename(out);
  const shell = (...lines: string[]): string[] => ['```sh', ...lines, '```'];
  const llmDrop = `llm-drop generate ${name} --prompt "Once upon a time"`;
  const vllm = `vllm serve ./${name} --tensor-parallel-size 2${remoteCode ? ' --trust-remote-code' : ''}`;
  const transformers = [
    '```python',
    'from transformers import AutoModelForCausalLM, AutoTokenizer',
    '',
    `tokenizer = AutoTokenizer.from_pretrained("./${name}")`,
    `model = AutoModelForCausalLM.from_pretrained("./${name}", device_map="auto")`,
    'inputs = tokenizer("Once upon a time", return_tensors="pt").to(model.device)',
    'print(tokenizer.decode(model.generate(**inputs, max_new_tokens=64)[0]))',
    '```',
  ];
  const parallel = 'The number after `--tensor-parallel-size` is of devices; 1 is the default.';
  switch (to) {
    case 'gguf':
      return shell(`llama-cli -m ${name} -p "Once upon a time" -n 64`, `llama-server -m ${name}`);
    case 'llm-drop':
      return [
        ...shell(llmDrop),
        '',
        "With LLM-Drop's own modeling files beside it, transformers loads the folder with `trust_remote_code=True`; for other engines, export it to `hf`, `gguf` or `vllm`.",
      ];
    case 'vllm':
      return [...shell(vllm), '', parallel, ...(architecture === 'nemotron-nas' ? [] : ['', ...transformers])];
    case 'hf':
      return [
        ...transformers,
        '',
        ...shell(vllm, llmDrop),
        '',
        zero ? `${parallel} Zeroed modules are computed all the same.` : parallel,
      ];
  }
}
