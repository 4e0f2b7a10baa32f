/**
 * The questions of a task asked by llm-drop and by lm-evaluation-harness's `hf` model in float32, in turns in one run:
 * seconds of each process from its start to its end, and whether both give the same accuracy.
 *
 * usage: node bench/tasks.mjs FOLDER DATA [--lm-eval PROGRAM] [--task arc_easy] [--limit 300] [--batch auto] [--rounds 3]
 *
 * FOLDER is a Hugging Face folder in float32, DATA the folder of tasks' rows (docs/measuring.md). PROGRAM is lm_eval as
 * pip installs it. Needs `npm run build`; run it by the Node that is to be measured.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('..', import.meta.url));
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    'lm-eval': { type: 'string', default: 'lm_eval' },
    task: { type: 'string', default: 'arc_easy' },
    limit: { type: 'string', default: '300' },
    batch: { type: 'string', default: 'auto' },
    rounds: { type: 'string', default: '3' },
  },
});
const [folder, data] = positionals;
if (!folder || !data) throw new Error('usage: node bench/tasks.mjs FOLDER DATA [--lm-eval PROGRAM] [--limit 300]');
const { task, limit, batch } = values;
const scratch = mkdtempSync(join(tmpdir(), 'llm-drop-tasks-'));

/** Runs a program and gives the seconds that it took. */
function timed(program, args, env = {}) {
  const start = performance.now();
  const { status, stderr, error } = spawnSync(program, args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
    maxBuffer: 2 ** 28,
  });
  if (error) throw error;
  if (status !== 0) throw new Error(`${program} failed:\n${String(stderr)}`);
  return (performance.now() - start) / 1000;
}

const read = (path) => JSON.parse(readFileSync(path, 'utf8'));

/** The one results file that lm_eval has written below a folder. */
function resultsBelow(path) {
  const found = readdirSync(path, { recursive: true }).find((name) => /results_.*\.json$/.test(name));
  return read(join(path, found));
}

const engines = {
  'llm-drop': (round) => {
    const out = join(scratch, `ours-${round}.json`);
    const options = ['--tasks', task, '--data', data, '--limit', limit, '--out', out];
    const seconds = timed(process.execPath, [join(root, 'dist/cli/main.js'), 'eval', folder, ...options]);
    return { seconds, results: read(out).results[task] };
  },
  lm_eval: (round) => {
    const out = join(scratch, `theirs-${round}`);
    const seconds = timed(
      values['lm-eval'],
      [
        ...['--model', 'hf', '--model_args', `pretrained=${folder},dtype=float32`, '--device', 'cpu'],
        ...['--include_path', join(scratch, 'tasks'), '--tasks', `local_${task}`],
        ...['--limit', limit, '--batch_size', batch, '--output_path', out],
      ],
      { HF_HUB_OFFLINE: '1', HF_DATASETS_OFFLINE: '1' },
    );
    return { seconds, results: resultsBelow(out).results[`local_${task}`] };
  },
};

try {
  const python = join(dirname(values['lm-eval']), 'python');
  timed(values['lm-eval'].includes('/') ? python : 'python3', [
    ...[join(root, 'test/lm_eval/local_tasks.py'), data, join(scratch, 'tasks')],
  ]);
  const best = {};
  for (let round = 0; round < Number(values.rounds); round++)
    for (const [name, run] of Object.entries(engines)) {
      const { seconds, results } = run(round);
      best[name] = Math.min(best[name] ?? Infinity, seconds);
      const measured = Object.entries(results).filter(([key]) => key.startsWith('acc'));
      console.log(`${name.padEnd(9)} ${seconds.toFixed(1)} s  ${measured.map(([key, v]) => `${key} ${v}`).join('  ')}`);
    }
  console.log(`${task}, ${limit} questions: llm-drop is ${(best.lm_eval / best['llm-drop']).toFixed(2)} times as fast`);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
