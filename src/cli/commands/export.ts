import { exportFormats, exportTypes, type ExportFormat, type ExportResult } from '../../export/index.js';
import { exportCheckpoint } from '../../jobs/index.js';
import { command } from '../command.js';
import { choice, flag, overwriteOption, requiredText, text, type Option } from '../options.js';
import { facts } from '../table.js';
import { formatBytes, formatLayers } from '../units.js';

export const exportCommand = command('export', 'Write a model for another engine', {
  description:
    'hf is a plain checkpoint without the dropped blocks, gguf a file for llama.cpp, vllm the architecture nemotron-nas ' +
    'where plain would not do, llm-drop the lists of LLM-Drop. The result is read back and compared with the model ' +
    'before it appears, with a model card.',
  computes: false,
  options: {
    to: { ...choice('what to write', exportFormats), required: true } as Option<ExportFormat>,
    type: choice('of the weights; q types are for gguf (default: as they are)', exportTypes),
    zero: flag('keep every layer, and zero the output projections of dropped modules: any engine runs that'),
    importance: text('scores from score --out, for the model card (default: importance.json in the folder)', 'file'),
    report: text('result of drop --json, for the model card (default: drop_report.json in the folder)', 'file'),
    out: requiredText('folder to write to; for gguf a file', 'path'),
    overwrite: overwriteOption,
  },
  examples: [
    ['export smaller --to gguf --type q8_0 --out smaller.gguf', 'for llama.cpp'],
    [
      'export smaller --to vllm --out smaller-vllm',
      'for vLLM, with --trust-remote-code where attentions or MLPs are dropped',
    ],
    ['export smaller --to hf --zero --out smaller-hf', 'for anything that reads a Hugging Face folder'],
  ],
  run: async (o, ui) => {
    const { adapter, to, type, zero, out, overwrite, importance, report, backend, threads } = o;
    const options = { adapter, to, type, zero, out, overwrite, importance, report, backend, threads };
    ui.show(ui.noted(await exportCheckpoint(o.model, { ...options, ...ui.job })), describe);
  },
});

function describe({ out, architecture, type, bytes, drop, layers, proof }: ExportResult): string[] {
  return [
    ...facts([
      ['architecture', `${architecture}, ${layers.length} layers`],
      ['weights', type],
      ['attention', `drop = ${formatLayers(drop.attention)}`],
      ['MLP', `drop = ${formatLayers(drop.mlp)}`],
      [
        'read back',
        `logits within ${proof.largestDifference.toPrecision(2)} of the model's, whose largest is ${proof.largestLogit.toPrecision(3)}`,
      ],
      ['size', formatBytes(bytes)],
    ]),
    '',
    `${out}: written`,
  ];
}
