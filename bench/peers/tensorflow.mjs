// llm-drop on tfjs-node-gpu beside the same operations called bare and beside PyTorch:
// node tensorflow.mjs FOLDER --python FILE [--rounds 5] [--threads 2] [--prefill 512] [--decode 16]
// FOLDER is a Llama's with one float32 model.safetensors and the head tied; tools/tfjs/setup.sh builds the binding.
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Child } from './child.mjs';
import { interleave, ratioOf } from './rounds.mjs';

const text = { type: 'string' };
const { values: given, positionals } = parseArgs({
  allowPositionals: true,
  options: { python: text, rounds: text, threads: text, prefill: text, decode: text },
});
const { python = process.env.PYTHON, rounds = 5, threads = 2, prefill = 512, decode = 16 } = given;
const here = fileURLToPath(new URL('.', import.meta.url));
const options = { dist: join(here, '../../dist'), folder: resolve(positionals[0]), threads: Number(threads) };

const engine = (name, program, file, more) => ({
  name,
  checks: true,
  start: () => new Child(name, program, [join(here, 'engines', file), JSON.stringify({ ...options, ...more })]),
});
const ours = { backend: 'tfjs:node-gpu', kv: 'float32' };
const engines = [
  engine('llm-drop', process.execPath, 'llmdrop.mjs', ours),
  engine('bare TensorFlow.js', process.execPath, 'tfjs_bare.mjs'),
  engine('llm-drop, int4', process.execPath, 'llmdrop.mjs', { ...ours, int4: 32 }),
  ...(python ? [engine('transformers', python, 'transformers_cpu.py', { dtype: 'float32' })] : []),
];

const tests = { [`prefill ${prefill}`]: `prefill ${prefill} 0`, [`decode ${decode} at 128`]: `decode ${decode} 128` };
const say = (line) => process.stderr.write(`${line}\n`);
const results = await interleave(engines, tests, { rounds: Number(rounds), check: 'check 16', say });

const [first] = results;
for (const test of Object.keys(tests)) {
  console.log(`| ${test} | tokens/s | min to max | llm-drop over it | processor seconds | others busy |`);
  console.log('| --- | ---: | ---: | ---: | ---: | ---: |');
  for (const each of results) {
    const { median, min, max, processor, others } = each.tests[test];
    const over = ratioOf(first, each, test);
    const ratio = `${over.median.toFixed(2)} (${over.min.toFixed(2)} to ${over.max.toFixed(2)})`;
    const rates = [median, min, max].map((rate) => rate.toPrecision(3));
    const cells = [each.name, rates[0], `${rates[1]} to ${rates[2]}`, ratio, processor.toFixed(2), others.toFixed(2)];
    console.log(`| ${cells.join(' | ')} |`);
  }
  console.log('');
}
for (const { name, facts } of results) console.log(`${name}: ${JSON.stringify(facts)}`);
