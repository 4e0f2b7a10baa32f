// The figures of docs/quantizing.md: node docs/quantizing.mjs MODEL GROUP_SIZE CALIBRATION OUT [TEXT...]
// Quantizes MODEL by rtn, gptq and awq into OUT/rtn, OUT/gptq, OUT/awq (those that are there already are kept), and
// prints their losses on rows that calibration has not seen, with the differences from rtn row by row.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const [model, groupSize, calibration, out, ...texts] = process.argv.slice(2);
const program = process.env.LLM_DROP ?? fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
const { SAMPLES = '16', LENGTH = '512', HELD_OUT = '32', FLAGS = '' } = process.env;

const reports = Object.fromEntries(
  ['rtn', 'gptq', 'awq'].map((method) => {
    const folder = join(out, method);
    const argv = ['quantize', model, '--method', method, '--group-size', groupSize, '--out', folder];
    argv.push('--calibration', calibration, '--samples', SAMPLES, '--length', LENGTH, '--held-out', HELD_OUT);
    if (texts.length) argv.push('--text', ...texts);
    argv.push(...FLAGS.split(' ').filter(Boolean));
    const begin = performance.now();
    if (!existsSync(folder)) {
      const { status } = spawnSync(process.execPath, [program, ...argv], { stdio: ['ignore', 'ignore', 'inherit'] });
      if (status !== 0) process.exit(status ?? 1);
      console.error(`${method}: ${((performance.now() - begin) / 1000).toFixed(0)} s`);
    }
    return [method, JSON.parse(readFileSync(join(folder, 'quantize_report.json'), 'utf8'))];
  }),
);

console.log('| text | method | loss | more than the float model | less than rtn | standard errors |');
console.log('|---|---|---|---|---|---|');
for (const [i, { name, before, rows }] of reports.rtn.losses.entries()) {
  console.log(`| ${name}, ${rows} rows | float | ${before.toFixed(4)} | | | |`);
  for (const [method, { losses }] of Object.entries(reports)) {
    const { after, rowLosses } = losses[i];
    const gains = rowLosses.map((loss, row) => reports.rtn.losses[i].rowLosses[row] - loss);
    const mean = gains.reduce((a, b) => a + b, 0) / gains.length;
    const variance = gains.reduce((sum, gain) => sum + (gain - mean) ** 2, 0) / (gains.length - 1);
    const error = Math.sqrt(variance / gains.length);
    const versus =
      method === 'rtn' ? ['', ''] : [`${mean.toFixed(4)} ± ${error.toFixed(4)}`, (mean / error).toFixed(1)];
    console.log(`| | ${method} | ${after.toFixed(4)} | ${(after - before).toFixed(4)} | ${versus.join(' | ')} |`);
  }
}
