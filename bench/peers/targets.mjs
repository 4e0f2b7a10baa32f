// What llm-drop is held to, as ratios to other engines on the same machine, and the table of them.
import { ratioOf } from './rounds.mjs';
import { describeMachine, fillBetween, runMarkdown } from './tables.mjs';

/** The kinds of processor that results differ for, and which target each has: V8 uses AVX-VNNI, not what AVX-512 has of it. */
export const columns = {
  avx2: { title: 'AVX2, no VNNI', target: 'avx2' },
  vnni: { title: 'AVX-VNNI', target: 'vnni' },
  avx512vnni: { title: 'AVX-512 VNNI, no AVX-VNNI', target: 'vnni' },
};

export function columnOf({ instructionSets }) {
  const vnni = instructionSets.filter((name) => name.endsWith('vnni'));
  if (vnni.length === 0) return 'avx2';
  return vnni.includes('avx_vnni') ? 'vnni' : 'avx512vnni';
}

/** `run` is a title of `allRuns`; `avx2` and `vnni` are the least ratios. */
export const targets = [
  { run: '135m q4_0', test: 'decode 64', engine: 'llm-drop, Node 26', over: 'llama.cpp', avx2: 1.15, vnni: 2.0 },
  { run: '135m q4_0', test: 'prefill 512', engine: 'llm-drop, Node 26', over: 'llama.cpp', avx2: 1.4, vnni: 1.2 },
  { run: '135m f32', test: 'decode 64', engine: 'llm-drop, Node 26', over: 'llama.cpp', avx2: 1.0, vnni: 1.1 },
  { run: '135m f32', test: 'prefill 512', engine: 'llm-drop, Node 26', over: 'llama.cpp', avx2: 2.7, vnni: 1.6 },
  { run: '1b q4_0', test: 'decode 64', engine: 'llm-drop, Node 26', over: 'llama.cpp', avx2: 1.05, vnni: 1.2 },
  { run: '135m q4_0', test: 'decode 64', engine: 'llm-drop, Node 20', over: 'llama.cpp', avx2: 0.95, vnni: 1.1 },
  { run: '135m f32', test: 'prefill 512', engine: 'llm-drop, Node 20', over: 'llama.cpp', avx2: 1.1, vnni: 0.8 },
  { run: '135m q4_0', test: 'prefill 512', engine: 'llm-drop, Node 20', over: 'llama.cpp', avx2: 0.7, vnni: 0.45 },
  {
    run: 'products f32',
    test: '512 x 2048 x 2048',
    engine: 'llm-drop, Node 26',
    over: 'onnxruntime-node',
    avx2: 0.5,
    vnni: 0.5,
  },
  { run: 'SmolLM2 f32', test: 'prefill 512', engine: 'llm-drop, Node 26', over: 'transformers', avx2: 1.5, vnni: 1.5 },
];

const marks = ['<!-- results: written by peers/run.mjs --all --write -->', '<!-- end of results -->'];

/** The text of RESULTS.md with the results of each column's machine (by its name, each `{ machine, runs }`) put between its marks. */
export const fillResults = (text, results) => fillBetween(text, marks, resultLines(results));

function resultLines(results) {
  const names = Object.keys(columns);
  const head = [
    'model',
    'test',
    'engine',
    'over',
    ...names.flatMap((name) => [`target, ${columns[name].title}`, 'measured']),
  ];
  const rows = targets.map((target) => [
    target.run,
    target.test,
    target.engine,
    target.over,
    ...names.flatMap((name) => {
      const least = target[columns[name].target];
      return [least.toFixed(2), measured(target, least, results[name])];
    }),
  ]);
  const table = [head, head.map((_, i) => (i < 4 ? '---' : '---:')), ...rows].map(
    (cells) => `| ${cells.join(' | ')} |`,
  );
  const details = names.flatMap((name) => {
    if (!results[name]) return [];
    const { machine, runs } = results[name];
    return [
      '',
      `## ${columns[name].title}`,
      '',
      describeMachine(machine),
      ...runs.flatMap((run) => ['', ...runMarkdown(run)]),
    ];
  });
  return [...table, ...details];
}

function measured(target, least, result) {
  const run = result?.runs.find(({ title }) => title === target.run);
  const [engine, over] = [target.engine, target.over].map((name) => run?.engines.find((one) => one.name === name));
  if (!engine?.tests[target.test] || !over?.tests[target.test]) return '';
  const { median, min, max } = ratioOf(engine, over, target.test);
  return `${median.toFixed(2)} (${min.toFixed(2)} to ${max.toFixed(2)}) ${median >= least ? 'met' : '**missed**'}`;
}
