// Scoring with llm-drop beside LLM-Drop's algorithm and one hooked pass in PyTorch: node scoring.mjs --help
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join, relative, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { scoringEngines } from './engines.mjs';
import { interleave, machine, ratioOf } from './rounds.mjs';
import { describeMachine, digits, factsText, fillBetween, table } from './tables.mjs';

const help = `node scoring.mjs OPTIONS
  scores attention, MLP and all windows of blocks: each engine in a process of its own, in interleaved rounds
    --model DIR      a Llama's Hugging Face folder (default: ../models/SmolLM2-135M)
    --text FILE      where the rows come from (default: the stories beside our small model)
    --samples N --length N   rows, and tokens a row (default: 16, 512)
    --rounds N       (default: 3)
    --threads N      of each engine (default: 2)
    --python FILE    a Python with torch and transformers (default: $PYTHON, or python3)
    --dist DIR       llm-drop, built (default: ../../dist)
  what comes of it
    --json FILE      the run as JSON
    --write FILE     put the section into this Markdown file`;

const here = fileURLToPath(new URL('.', import.meta.url));
const text = { type: 'string' };
const { values: given } = parseArgs({
  options: {
    ...{ model: text, text, samples: text, length: text, rounds: text, threads: text, python: text, dist: text },
    ...{ json: text, write: text, help: { type: 'boolean' } },
  },
});
const say = (line) => process.stderr.write(`${line}\n`);

/** What llm-drop is held to, on any processor. */
const targets = [
  { engine: 'llm-drop, Node 26', over: 'LLM-Drop on PyTorch', least: 3 },
  { engine: 'llm-drop, Node 26', over: 'hooked PyTorch pass', least: 1.3 },
  { engine: 'llm-drop, Node 20', over: 'LLM-Drop on PyTorch' },
  { engine: 'llm-drop, Node 20', over: 'hooked PyTorch pass' },
];

/** Scores within this of each other are the same job: float32 passes whose sums go in different orders. */
const tolerance = 1e-5;

const marks = ['<!-- scoring: written by peers/scoring.mjs --write -->', '<!-- end of scoring -->'];

/** Writes the rows, as all engines read them. */
async function writeRows({ folder, text, samples, length, dist }) {
  const { calibrationRows, loadTokenizer } = await import(pathToFileURL(join(dist, 'index.js')).href);
  const { rows } = await calibrationRows(await loadTokenizer(folder), [text], { samples, length });
  if (rows.length < samples) throw new Error(`${text} has ${rows.length} rows of ${length} tokens, not ${samples}`);
  const file = join(here, 'build', 'scoring-rows.json');
  mkdirSync(join(here, 'build'), { recursive: true });
  writeFileSync(file, JSON.stringify(rows.map((row) => [...row])));
  return file;
}

/** The largest difference between two engines' scores. */
function difference(a, b) {
  const [left, right] = [a, b].map(({ attention, mlp, windows }) => [...attention, ...mlp, ...windows.flat()]);
  if (left.length !== right.length) throw new Error(`${left.length} scores beside ${right.length}`);
  const each = left.map((score, i) => Math.abs(score - right[i]));
  // What is no number must not count as near.
  return each.every(Number.isFinite) ? Math.max(...each) : Infinity;
}

/** Takes the scores out of what engines say of themselves, and says how far they are from the first's. */
function compare(engines) {
  const all = engines.map(({ facts }) => facts.check.similarities);
  for (const [i, engine] of engines.entries()) {
    delete engine.facts.check;
    engine.apart = difference(all[i], all[0]);
    if (!(engine.apart <= tolerance))
      throw new Error(`scores of ${engine.name} differ by ${engine.apart} from those of ${engines[0].name}`);
  }
}

const ratioText = ({ median, min, max }) => `${median.toFixed(2)} (${min.toFixed(2)} to ${max.toFixed(2)})`;

function markdown(run) {
  const named = (name) => run.engines.find((engine) => engine.name === name);
  const held = targets.flatMap(({ engine, over, least }) => {
    if (!named(engine)) return [];
    const ratio = ratioOf(named(engine), named(over), 'score');
    const met = ratio.median >= least ? ' met' : ' **missed**';
    return [[engine, over, least?.toFixed(2) ?? '', ratioText(ratio) + (least ? met : '')]];
  });
  const seconds = (rate) => run.tokens / rate;
  const rows = run.engines.map(({ name, tests: { score } }) => [
    name,
    digits(seconds(score.median)),
    `${digits(seconds(score.max))} to ${digits(seconds(score.min))}`,
    digits(score.processor),
    digits(score.median),
    score.others.toFixed(2),
  ]);
  const facts = run.engines.map(
    ({ name, facts, apart }) => `${name}: ${factsText(facts)}, scores within ${apart.toExponential(1)}`,
  );
  return [
    ...table(['engine', 'over', 'target', 'measured'], held),
    '',
    ...table(['engine', 'seconds', 'min to max', 'processor seconds', 'tokens/s', 'others busy'], rows),
    '',
    `${describeMachine(run)}. ${run.model}, float32, ${run.samples} rows of ${run.length} tokens, ${run.threads} threads, ` +
      `${run.rounds} interleaved rounds, ${run.date.slice(0, 16).replace('T', ' ')}. Medians; measured: the ratio of ` +
      'medians (its range within single rounds); loading the model is not counted; processor seconds: of all threads, ' +
      'those that wait for others too; others busy: processors that other programs used meanwhile.',
    '',
    `${facts.join('; ')} of the first's.`,
  ];
}

async function main() {
  const options = {
    folder: resolve(given.model ?? join(here, '../models/SmolLM2-135M')),
    text: resolve(given.text ?? join(here, '../../models/tiny-stories/calibration.txt')),
    samples: Number(given.samples ?? 16),
    length: Number(given.length ?? 512),
    threads: Number(given.threads ?? 2),
    python: given.python ?? process.env.PYTHON ?? 'python3',
    dist: resolve(given.dist ?? join(here, '../../dist')),
    node26: true,
  };
  const { folder, samples, length, threads, dist } = options;
  if (!existsSync(join(dist, 'index.js')))
    throw new Error(`${dist} is not there: npm ci && npm run build in the root first`);
  if (!existsSync(folder)) throw new Error(`${folder} is not there (README.md says how to make it)`);
  const rounds = Number(given.rounds ?? 3);
  const rows = await writeRows(options);
  // The check is the whole job once: it warms up.
  const engines = await interleave(
    scoringEngines({ ...options, rows }),
    { score: 'score' },
    { rounds, check: 'score', warm: true, say },
  );
  compare(engines);
  const of = { model: basename(folder), samples, length, tokens: samples * length, threads, rounds };
  const run = { date: new Date().toISOString(), ...machine(), ...of, engines };
  const lines = markdown(run);
  if (given.json) writeFileSync(resolve(given.json), `${JSON.stringify(run, null, 2)}\n`);
  console.log(lines.join('\n'));
  if (engines.some(({ tests }) => tests.score.others > 0.1))
    say('other programs were busy meanwhile; measure again on a quiet machine');
  if (!given.write) return;
  const path = resolve(given.write);
  writeFileSync(path, fillBetween(readFileSync(path, 'utf8'), marks, lines));
  say(`wrote ${relative(process.cwd(), path)}`);
}

if (given.help) console.log(help);
else await main();
