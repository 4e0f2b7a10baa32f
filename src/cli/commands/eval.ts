import { UserError } from '../../engine/index.js';
import { evaluateModel, evaluateTasks, type EvaluateResult } from '../../jobs/index.js';
import { presetNames, taskNames } from '../../tasks/index.js';
import { bosPlaces } from '../../text/index.js';
import { heldOutOption, textOptions } from '../calibration.js';
import { command, loadOptionsOf } from '../command.js';
import { choice, dropOptions, files, int, names, text, type Option } from '../options.js';
import { facts } from '../table.js';
import { describeTasks } from '../tasksText.js';
import { formatCount, formatLayers } from '../units.js';

export const evaluate = command('eval', 'Measure a model on a text, or by the questions of tasks', {
  description:
    'With --text, the loss and the perplexity: the text is packed into rows as for calibration, documents ended by the end-of-text token: the first --held-out rows ' +
    'of --length tokens, each from its own start. --bos puts a beginning-of-text token as other tools do: document before ' +
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
    ['eval models/tiny-stories --text stories.txt --held-out 64 --json', "every row's loss too"],
    ['eval Llama-3.2-1B --tasks arc_easy,hellaswag --data tasks --limit 300', 'as lm_eval asks and scores'],
    ['eval smaller --preset llm-drop --data tasks --beside Llama-3.2-1B', 'what a drop changed, question by question'],
  ],
  run: async (o, ui) => {
    const { text: texts, heldOut, length, field, bos, tasks, preset, data, shots, limit, beside, out } = o;
    const loading = { ...loadOptionsOf(o), ...ui.job };
    if (tasks || preset) {
      if (texts) throw new UserError('--text and --tasks exclude each other');
      if (data === undefined) throw new UserError('--tasks needs --data <dir>, which holds the questions');
      const asking = { tasks, preset, data, shots, limit, beside, out };
      ui.show(await evaluateTasks(o.model, { ...asking, ...loading }), describeTasks);
      return;
    }
    if (!texts) throw new UserError('eval needs --text <file> or --tasks <name,...>');
    ui.show(await evaluateModel(o.model, { ...{ texts, heldOut, length, field, bos }, ...loading }), describe);
  },
});
function describe({ loss, perplexity, tokens, rows, length, bos, drop }: EvaluateResult): string[] {
  const measured = bos === 'alone' ? `${rows} documents of at most ${length}` : `${rows} rows of ${length}`;
  return facts([
    [
      'loss',
      bos === 'alone' ? `${loss.toFixed(4)} nats a token, mean over documents` : `${loss.toFixed(4)} nats a token`,
    ],
    ['perplexity', perplexity.toFixed(3)],
    ['tokens', `${formatCount(tokens)} (${measured})`],
    ...(bos === null ? [] : [['beginning-of-text token', bosWords[bos]] as const]),
    ['dropped', `attention = ${formatLayers(drop.attention)}, mlp = ${formatLayers(drop.mlp)}`],
  ]);
}

const bosWords: Readonly<Record<NonNullable<EvaluateResult['bos']>, string>> = {
  document: 'before each document',
  row: 'over the first token of each row',
  alone: 'before each document, a row of its own',
};
