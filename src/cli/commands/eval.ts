import { UserError } from '../../engine/index.js';
import { evaluateModel, evaluateTasks, type EvaluateResult } from '../../jobs/index.js';
import { presetNames, taskNames } from '../../tasks/index.js';
import { bosPlaces } from '../../text/index.js';
import { heldOutOption, textOptions } from '../calibration.js';
import { command, loadOptionsOf } from '../command.js';
import { maxMemoryOption } from '../scale.js';
import { choice, dropOptions, files, int, names, text, type Option } from '../options.js';
import { facts } from '../table.js';
import { describeTasks } from '../tasksText.js';
import { formatCount, formatLayers } from '../units.js';

export const evaluate = command('eval', 'Measure a model on a text, or by the questions of tasks', {
  description:
    'With --text, the loss and the perplexity, by the token, the word and the byte: the text is packed into rows as for ' +
    'calibration, documents ended by the end-of-text token: the first --held-out rows of --length tokens, each from its ' +
    'own start; with --stride, a window of that length moves over them, and each token counts once. --kl says how far ' +
    'predictions are from another model’s. Weights that do not fit in --max-memory are streamed from the disk, a layer at ' +
    'a time. --bos puts a beginning-of-text token as other tools do: document before ' +
    'each document, in place of the other token (GPTQ’s measurements, for a text of one document); row over the first ' +
    'token of each row (llama-perplexity); alone before each document, which is then a row of its own, cut to --length, ' +
    'and counts the same as any other (Hugging Face evaluate).\n\n' +
    'With --tasks, the accuracy as lm-evaluation-harness measures it, on the rows in --data. An interrupted run leaves its ' +
    `progress beside --out, and the same command line continues it. Known are ${taskNames.join(', ')}, and each subject ` +
    'of MMLU, such as mmlu_anatomy.',
  options: {
    text: files('text to measure on: .txt, .jsonl, or a folder of them'),
    heldOut: heldOutOption,
    ...textOptions,
    bos: choice('where a beginning-of-text token goes (default: nowhere)', bosPlaces),
    stride: int('move the window by so many tokens (default: --length, each row from its own start)', 1),
    kl: { ...text('the model whose predictions should be kept, as its folder has it', 'dir'), model: true } as Option<
      string | undefined
    >,
    maxMemory: maxMemoryOption,
    tasks: names('tasks to ask the questions of, such as arc_easy,mmlu'),
    preset: choice('tasks and numbers of examples of a paper, and its average', presetNames),
    data: text('the folder with a folder of rows for each task: .jsonl, .parquet or .csv', 'dir'),
    shots: int('examples before each question (default: those of the preset, else of the task)', 0),
    limit: int('questions of each task, from its first (default: all)', 1),
    beside: {
      ...text('another model to compare with, question by question; whole is this one before --drop-…', 'dir'),
      model: true,
    } as Option<string | undefined>,
    out: text('also write the JSON document to this file', 'file'),
    ...dropOptions,
  },
  renamed: { texts: 'text' },
  oldNames: { rows: 'heldOut' },
  examples: [
    ['eval Llama-3.2-1B --text wiki.txt', 'the loss of the model as it is'],
    ['eval Llama-3.2-1B --text wiki.txt --drop-attn 10-13', 'without four attentions, whose weights are not read'],
    ['eval Llama-3.2-1B --text wiki.txt --bos document', 'beside the perplexities of papers on quantization'],
    ['eval smaller --text wiki.txt --stride 512 --kl Llama-3.2-1B', 'what a drop changed, token by token'],
    ['eval models/tiny-stories --text stories.txt --held-out 64 --json', "every row's loss too"],
    ['eval Llama-3.2-1B --tasks arc_easy,hellaswag --data tasks --limit 300', 'as lm_eval asks and scores'],
    ['eval smaller --preset llm-drop --data tasks --beside Llama-3.2-1B', 'what a drop changed, question by question'],
  ],
  run: async (o, ui) => {
    const {
      text: texts,
      heldOut,
      length,
      field,
      bos,
      stride,
      kl,
      maxMemory,
      tasks,
      preset,
      data,
      shots,
      limit,
      beside,
      out,
    } = o;
    const loading = { ...loadOptionsOf(o), ...ui.job };
    if (tasks || preset) {
      if (texts) throw new UserError('--text and --tasks exclude each other');
      if (maxMemory !== undefined)
        throw new UserError('--max-memory goes with --text alone: the answers to tasks keep all weights in memory');
      if (data === undefined) throw new UserError('--tasks needs --data <dir>, which holds the questions');
      const asking = { tasks, preset, data, shots, limit, beside, out };
      ui.show(await evaluateTasks(o.model, { ...asking, ...loading }), describeTasks);
      return;
    }
    if (!texts) throw new UserError('eval needs --text <file> or --tasks <name,...>');
    const measuring = { texts, heldOut, length, field, bos, stride, kl, maxMemory };
    ui.show(await evaluateModel(o.model, { ...measuring, ...loading }), describe);
  },
});
function describe(result: EvaluateResult): string[] {
  const { loss, perplexity, tokens, rows, length, bos, stride, drop, kl } = result;
  const measured = bos === 'alone' ? `${rows} documents of at most ${length}` : `${rows} rows of ${length}`;
  const windows = stride === null ? '' : `, in windows that move by ${stride}`;
  return facts([
    [
      'loss',
      bos === 'alone' ? `${loss.toFixed(4)} nats a token, mean over documents` : `${loss.toFixed(4)} nats a token`,
    ],
    ['perplexity', perplexity.toFixed(3)],
    ['a word', `perplexity ${result.wordPerplexity.toFixed(3)}`],
    ['a byte', `perplexity ${result.bytePerplexity.toFixed(4)}, ${result.bitsPerByte.toFixed(4)} bits`],
    ['tokens', `${formatCount(tokens)} (${measured}${windows})`],
    ...(bos === null ? [] : [['beginning-of-text token', bosWords[bos]] as const]),
    ['dropped', `attention = ${formatLayers(drop.attention)}, mlp = ${formatLayers(drop.mlp)}`],
    ...(kl ? klFacts(kl) : []),
  ]);
}

const percent = (share: number): string => `${(100 * share).toFixed(2)}%`;

const klFacts = (kl: NonNullable<EvaluateResult['kl']>): readonly (readonly [string, string])[] => [
  [`KL from ${kl.model}`, `${kl.mean.toFixed(4)} nats a token, 99% below ${kl.p99.toFixed(4)}`],
  ['same likeliest token', percent(kl.agreement)],
  ['flips', `${percent(kl.gained)} of the tokens are right here alone, ${percent(kl.lost)} there alone`],
  ['its loss', `${kl.base.loss.toFixed(4)} nats a token`],
];

const bosWords: Readonly<Record<NonNullable<EvaluateResult['bos']>, string>> = {
  document: 'before each document',
  row: 'over the first token of each row',
  alone: 'before each document, a row of its own',
};
