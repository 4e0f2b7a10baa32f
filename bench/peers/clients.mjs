// Clients at once, by llm-drop and llama.cpp in turns: node clients.mjs --help
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { modelEngines } from './engines.mjs';
import { syntheticFolder } from './models.mjs';
import { interleave, machine, median, ratioOf } from './rounds.mjs';
import { describeMachine, fillBetween, runMarkdown, table } from './tables.mjs';

const help = `node clients.mjs OPTIONS
  sequences that a pass computes together, each a prompt and tokens after it; tokens/s are those after prompts
    --shapes A,B       synthetic models of these shapes, int4 (default: 135m,1b)
    --clients A,B,..   how many at once (default: 1,8,32)
    --in N --out N     tokens of a prompt, and after it (default: 128, 128)
    --rounds N         interleaved rounds (default: 5)
    --threads N        of each engine (default: 2)
    --engines A,B      only these: llm-drop, llama.cpp, node-llama-cpp
    --node26           llm-drop under Node 26 too: $NODE26, or npm's node@26
    --dist DIR         llm-drop, built (default: ../../dist)
    --write FILE       put the section into this Markdown file`;

const text = { type: 'string' };
const { values: given } = parseArgs({
  options: {
    ...{ shapes: text, clients: text, in: text, out: text, rounds: text, threads: text, engines: text, dist: text },
    ...{ node26: { type: 'boolean' }, write: text, help: { type: 'boolean' } },
  },
});

const marks = ['<!-- clients: written by peers/clients.mjs --write -->', '<!-- end of clients -->'];
const say = (line) => process.stderr.write(`${line}\n`);

/** What llm-drop is held to: ratios to llama.cpp, and of 8 clients to one, by shape. */
const leastOverPeer = 1.2;
const leastOverOne = { '135m': 3.5, '1b': 5 };

async function runOf(shape) {
  const [length, out, threads] = [Number(given.in ?? 128), Number(given.out ?? 128), Number(given.threads ?? 2)];
  const counts = (given.clients ?? '1,8,32').split(',').map(Number);
  const tests = Object.fromEntries(counts.map((count) => [nameOf(count), `clients ${count} ${length} ${out}`]));
  const rounds = Number(given.rounds ?? 5);
  const engines = modelEngines({
    folder: syntheticFolder(shape),
    type: 'q4_0',
    int4: 32,
    kv: 'float16',
    threads,
    context: Math.ceil((length + out) / 256) * 256,
    sequences: Math.max(...counts),
    engines: given.engines?.split(',') ?? ['llm-drop', 'llama.cpp', 'node-llama-cpp'],
    node26: given.node26,
    dist: resolve(given.dist ?? join(fileURLToPath(new URL('.', import.meta.url)), '../../dist')),
  });
  say(`== ${shape}`);
  return {
    title: `${shape} q4_0, ${length} tokens in, ${out} out`,
    shape,
    date: new Date().toISOString(),
    ...machine(),
    rounds,
    threads,
    tests,
    engines: await interleave(engines, tests, { rounds, say }),
    model: `${shape}, q4_0`,
    kv: 'float16',
    over: 'llama.cpp',
    unit: 'tokens/s',
  };
}

const nameOf = (count) => `${count} client${count === 1 ? '' : 's'}`;

/** Each target of a run's engines, and what was measured. */
function targetRows({ shape, engines, tests }) {
  const rows = [];
  const peers = engines.filter(({ name }) => !name.startsWith('llm-drop'));
  for (const engine of engines.filter(({ name }) => name.startsWith('llm-drop')))
    for (const test of Object.keys(tests)) {
      for (const peer of peers) {
        const { median: over, min, max } = ratioOf(engine, peer, test);
        const found = `${over.toFixed(2)} (${min.toFixed(2)} to ${max.toFixed(2)}) ${verdict(over, leastOverPeer)}`;
        rows.push([shape, test, engine.name, peer.name, leastOverPeer.toFixed(2), found]);
      }
      const one = engine.tests[nameOf(1)];
      if (!one || test === nameOf(1)) continue;
      const least = test === nameOf(8) ? leastOverOne[shape] : undefined;
      const over = median(engine.tests[test].samples) / median(one.samples);
      const found = `${over.toFixed(2)} ${least ? verdict(over, least) : ''}`;
      rows.push([shape, test, engine.name, 'its own one client', least?.toFixed(2) ?? '', found.trim()]);
    }
  return rows;
}

const verdict = (value, least) => (value >= least ? 'met' : '**missed**');

if (given.help) console.log(help);
else {
  const runs = [];
  for (const shape of (given.shapes ?? '135m,1b').split(',')) runs.push(await runOf(shape));
  const head = ['model', 'test', 'engine', 'over', 'target', 'measured'];
  const lines = [
    ...table(head, runs.flatMap(targetRows)),
    '',
    describeMachine(machine()),
    ...runs.flatMap((run) => ['', ...runMarkdown(run)]),
  ];
  console.log(lines.join('\n'));
  if (given.write) writeFileSync(given.write, fillBetween(readFileSync(given.write, 'utf8'), marks, lines));
}
