/**
 * Speed beside another checkout of llm-drop, in one run:
 *
 *   node bench/beside.mjs BASE_CHECKOUT [--model DIR] [--types f32,int4] [--starts 8] [--rounds 2]
 *     [--prefill 512] [--decode 128] [--threads 2]
 *
 * For each type of the weights, a process of either checkout loads the model and waits. A round takes four samples of a
 * measure, base this this base, the next round this base base this, so that neither gains by its place; a first round
 * is not counted. What counts is the ratio of neighbours: a busy moment strikes both, or is one outlier among many.
 *
 * Two processes of the very same program differ by several percent for as long as they live (where their memory lies),
 * so that more rounds do not help: `--starts` new processes are measured, and the result is the median of theirs, each
 * the median of its pairs. Without --model it is a random model of SmolLM2-135M's shape. Both run under the Node that
 * runs this, with V8's flags as the command line sets them. A checkout that is not built is built.
 */
import { execFileSync } from 'node:child_process';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Child } from './peers/child.mjs';
import { syntheticFolder } from './peers/models.mjs';
import { machine, median } from './peers/rounds.mjs';

const { values: o, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: 'string' },
    types: { type: 'string', default: 'f32,int4' },
    starts: { type: 'string', default: '8' },
    rounds: { type: 'string', default: '2' },
    prefill: { type: 'string', default: '512' },
    decode: { type: 'string', default: '128' },
    threads: { type: 'string', default: '2' },
  },
});
if (positionals.length !== 1) throw new Error('give BASE_CHECKOUT');
const checkouts = { base: resolve(positionals[0]), this: fileURLToPath(new URL('..', import.meta.url)) };
const folder = o.model ? resolve(o.model) : syntheticFolder('135m');
const [starts, rounds] = [o.starts, o.rounds].map(Number);

/** As in the other benchmarks, and as `--int4` has it: groups of 32, keys and values of the weights' size. */
const types = { f32: { kv: 'float32' }, int4: { kv: 'float16', int4: 32 } };
const measures = { [`prefill ${o.prefill}`]: `prefill ${o.prefill} 0`, [`decode ${o.decode}`]: `decode ${o.decode} 0` };

/** Milliseconds for the threads of the process before to go to sleep. */
const pause = 250;

/** Each checkout by its own script, which knows where its code lies. */
function start(side, type) {
  const script = join(checkouts[side], 'bench/peers/engines/llmdrop.mjs');
  const given = { dist: join(checkouts[side], 'dist'), folder, threads: Number(o.threads), ...types[type] };
  return new Child(side, process.execPath, [script, JSON.stringify(given)]);
}

/** Samples of both, pair by pair. */
async function pairsOf(children, command) {
  const pairs = [];
  for (let round = 0; round <= rounds; round++) {
    const order = round % 2 ? ['this', 'base'] : ['base', 'this'];
    for (const turn of [order, order.toReversed()]) {
      const pair = {};
      for (const side of turn) {
        await new Promise((resolve) => setTimeout(resolve, pause));
        pair[side] = await children[side].measure(command);
      }
      if (round > 0) pairs.push(pair);
    }
  }
  return pairs;
}

const ratio = (pair) => pair.this.rate / pair.base.rate;
const work = (pair) => pair.this.processor / pair.base.processor;

/** Starts a process of each checkout, and measures everything in them. What they say of themselves, and the pairs. */
async function measureStart(type) {
  const children = { base: start('base', type), this: start('this', type) };
  try {
    const answers = [];
    for (const child of Object.values(children)) {
      const { tier } = await child.ready();
      answers.push(`tier ${tier}, likeliest ${JSON.stringify(await child.ask('check 16'))}`);
    }
    const says = answers[0] === answers[1] ? `both ${answers[0]}` : `DIFFERENT: ${answers.join(' / ')}`;
    const pairs = {};
    for (const [name, command] of Object.entries(measures)) pairs[name] = await pairsOf(children, command);
    return { says, pairs };
  } finally {
    for (const child of Object.values(children)) child.stop();
  }
}

/** One line of the table: a measure in all starts. */
function row(type, name, groups) {
  const pairs = groups.flat();
  const rate = (side) => `${median(pairs.map((pair) => pair[side].rate)).toPrecision(4)} tokens/s`;
  const ofStarts = (value) => groups.map((group) => median(group.map(value))).sort((a, b) => a - b);
  const range = (values) => `${values[0].toFixed(3)} to ${values.at(-1).toFixed(3)}`;
  const processor = median(ofStarts(work));
  const others = median(pairs.flatMap((pair) => [pair.base.others, pair.this.others]));
  return [
    ...[type, name, rate('base'), rate('this'), median(ofStarts(ratio)).toFixed(3)],
    ...[range(ofStarts(ratio)), range(pairs.map(ratio).sort((a, b) => a - b))],
    ...[Number.isFinite(processor) ? processor.toFixed(3) : 'too short', others.toFixed(2)],
  ];
}

for (const checkout of Object.values(checkouts))
  execFileSync(join(checkout, 'tools/build_if_stale.sh'), { stdio: 'inherit' });

const { processor, cores, instructionSets } = machine();
console.log(`${processor}, ${cores} cores (${instructionSets.join(', ')})`);
console.log(
  `Node ${process.versions.node}, V8 ${process.versions.v8}, ${o.threads} threads, ${starts} starts of ${rounds} rounds: ${folder}`,
);
const rows = [['', '', 'base', 'this', 'this / base', 'starts', 'pairs', 'processor seconds', 'others busy']];
for (const type of o.types.split(',')) {
  if (!types[type]) throw new Error(`--types are ${Object.keys(types).join(' and ')}, found '${type}'`);
  const runs = [];
  for (let i = 0; i < starts; i++) runs.push(await measureStart(type));
  for (const says of new Set(runs.map((run) => run.says))) console.log(`${type}: ${says}`);
  for (const name of Object.keys(measures))
    rows.push(
      row(
        type,
        name,
        runs.map(({ pairs }) => pairs[name]),
      ),
    );
}
const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length)));
for (const row of rows)
  console.log(
    row
      .map((text, i) => text.padEnd(widths[i]))
      .join('  ')
      .trimEnd(),
  );
