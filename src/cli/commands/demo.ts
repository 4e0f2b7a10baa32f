import { command, loadOptionsOf } from '../command.js';
import { runDemo, type DemoResult } from '../runDemo.js';
import { demoRows } from '../demoRows.js';
import { loadTextModel } from '../../jobs/textModel.js';
import { builtInModel } from '../package.js';
import { provenance, type Provenance } from '../../jobs/provenance.js';
import { table } from '../table.js';
import { formatDifference, formatLayers, formatRate } from '../units.js';
import { describeScores } from '../scoreText.js';

interface Demo extends DemoResult, Provenance {
  readonly model: string;
  readonly text: string;
  readonly seconds: number;
}

export const demo = command('demo', 'The whole job on the built-in model, in under a minute', {
  description:
    'Scores every module, drops more and more attentions and MLPs, and shows what each drop costs in loss and gives in speed.',
  defaultModel: () => builtInModel,
  options: {},
  examples: [
    ['demo', 'the built-in model'],
    ['demo Llama-3.2-1B', 'the same with another model, on text that it writes itself'],
  ],
  run: async (o, ui) => {
    const start = performance.now();
    await using loaded = await loadTextModel(o.model, { ...loadOptionsOf(o), ...ui.job });
    const { model, tokenizer } = loaded;
    const rows = await demoRows(model, tokenizer, o.model, ui);
    const result = await runDemo(model, tokenizer, rows, ui);
    const seconds = (performance.now() - start) / 1000;
    ui.show<Demo>({ model: o.model, text: rows.from, ...result, seconds, ...provenance(model) }, (r) =>
      describe(r, ui.width),
    );
  },
});

function describe(r: Demo, width: number): string[] {
  const { whole, levels, sentences } = r;
  const rows = levels.map((level) => [
    `${level.count} ${level.target === 'mlp' ? 'MLP' : 'attention'}${level.count > 1 ? 's' : ''}`,
    level.loss.toFixed(4),
    formatDifference(level.difference, level.standardError),
    formatRate(level.tokensPerSecond),
    `${(level.tokensPerSecond / whole.tokensPerSecond).toFixed(2)}x`,
    formatLayers(level.layers),
  ]);
  return [
    `${r.model} (${r.modelType}, ${r.layers} layers) on ${r.backend} (${r.tier}); text: ${r.text}`,
    '',
    ...describeScores(r.importance, width),
    '',
    `what dropping costs, on ${whole.rows} held-out rows, and gives, decoding token by token:`,
    ...table([
      ['dropped', 'loss', 'difference', 'tokens/s', 'speed', 'layers'],
      ['nothing', whole.loss.toFixed(4), '', formatRate(whole.tokensPerSecond), '1.00x', ''],
      ...rows,
    ]),
    '',
    'whole:',
    `  ${sentences.before}`,
    `without attention ${formatLayers(sentences.dropped)}:`,
    `  ${sentences.after}`,
    '',
    `${r.seconds.toFixed(1)} s`,
  ];
}
