/**
 * Kills commands at random moments and lets them go on: nothing half-written appears under the name that was asked for,
 * and the result in the end is that of a run left alone, bit for bit (dates and speeds aside).
 *
 *   node test/kill/run.mjs --runs 200 --seed 1 --commands score,streamed,shard,drop,export,sweep,gptq,awq,compensate
 *
 * A run is killed up to three times. Exits with 1 and says what differs where something does.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('../..', import.meta.url));
const main = join(root, 'dist/cli/main.js');
const { values: o } = parseArgs({
  options: {
    runs: { type: 'string', default: '200' },
    seed: { type: 'string', default: '1' },
    commands: { type: 'string', default: 'score,streamed,shard,drop,export,sweep,gptq,awq,compensate' },
    /** Rows of the scorings: more make longer runs. */
    rows: { type: 'string', default: '3000' },
  },
});

let state = Number(o.seed) >>> 0;
const uniform = () => {
  // mulberry32
  state = (state + 0x6d2b79f5) >>> 0;
  let x = Math.imul(state ^ (state >>> 15), state | 1);
  x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
  return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
};

const folder = mkdtempSync(join(tmpdir(), 'llm-drop-kill-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const text = join(folder, 'stories.txt');
writeFileSync(
  text,
  Array.from(
    { length: 1500 },
    (_, i) => `Once there was a girl with ${i} red balls. She gave ${i % 7} of them to her friend.`,
  ).join('<|endoftext|>'),
);
const makeModel = (name, ...options) => {
  const out = join(folder, name);
  const tool = [
    join(root, 'tools/make_random_checkpoint.mjs'),
    '--out',
    out,
    '--tokenizer',
    join(root, 'test/fixtures/tokenizer'),
  ];
  const made = spawnSync(process.execPath, [...tool, '--vocab', '320', '--heads', '4', '--kv-heads', '2', ...options], {
    encoding: 'utf8',
  });
  if (made.status !== 0) throw new Error(made.stderr);
  return out;
};
const tiny = makeModel('tiny', '--size', '400KB', '--hidden', '64', '--intermediate', '128');
const wide = makeModel('wide', '--size', '60MB', '--hidden', '512', '--intermediate', '1024', '--shard-size', '20MB');

const dropped = join(folder, 'dropped');
const dropping = ['drop', tiny, '--drop-attn', '1', '--drop-mlp', '2', '--out', dropped];
if (spawnSync(process.execPath, [main, ...dropping]).status !== 0) throw new Error('nothing to compensate was written');

const scoring = ['score', tiny, '--calibration', text, '--samples', o.rows, '--length', '8'];
const fitting = ['--calibration', text, '--samples', '96', '--length', '64', '--held-out', '4'];
const quantizing = (method) => ['quantize', tiny, '--method', method, '--group-size', '32', ...fitting];
/** What each command writes to OUT. `streamed` is given too little memory for the weights, but enough for a layer. */
const jobs = {
  score: (out) => [...scoring, '--out', `${out}.json`],
  streamed: (out) => [...scoring, '--max-memory', '160200KB', '--gap', '1,3', '--out', `${out}.json`],
  shard: (out) => [...scoring, '--shard', '2/2', '--out', `${out}.json`],
  drop: (out) => ['drop', wide, '--drop-attn', '3,5', '--drop-mlp', '2', '--out', out],
  export: (out) => ['export', wide, '--to', 'gguf', '--out', `${out}.gguf`],
  sweep: (out) => [
    ...[
      'sweep',
      tiny,
      '--calibration',
      text,
      '--samples',
      '64',
      '--held-out',
      '16',
      '--length',
      '16',
      '--count',
      '1,2',
    ],
    ...['--speed-rounds', '0', '--out', `${out}.json`],
  ],
  gptq: (out) => [...quantizing('gptq'), '--out', out],
  awq: (out) => [...quantizing('awq'), '--out', out],
  compensate: (out) => ['compensate', dropped, '--base', tiny, ...fitting, '--out', out],
};

/** A process's end: killed after `limit` milliseconds, or its exit code. */
function start(argv, limit = Infinity) {
  return new Promise((resolve) => {
    const begun = Date.now();
    const child = spawn(process.execPath, [main, ...argv], { stdio: ['ignore', 'pipe', 'pipe'] });
    let stderr = '';
    child.stderr.on('data', (piece) => (stderr += piece));
    child.stdout.resume();
    const timer = Number.isFinite(limit) ? setTimeout(() => child.kill('SIGKILL'), limit) : undefined;
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, killed: signal === 'SIGKILL', stderr, ms: Date.now() - begun });
    });
  });
}

/** Every file that appeared under the output's name, by content; undefined where there is none. */
function resultOf(out) {
  const files = {};
  const visit = (path, name) => {
    if (statSync(path).isDirectory())
      for (const entry of readdirSync(path).sort()) visit(join(path, entry), `${name}/${entry}`);
    else files[name] = digest(path);
  };
  for (const ending of ['', '.json', '.gguf']) if (existsSync(out + ending)) visit(out + ending, ending);
  return Object.keys(files).length ? files : undefined;
}

const aside = new Set(['date', 'seconds', 'milliseconds', 'duration']);
function digest(path) {
  const bytes = readFileSync(path);
  const hash = (content) => createHash('sha256').update(content).digest('hex');
  if (!path.endsWith('.json'))
    return hash(path.endsWith('.md') ? bytes.toString().replace(/\d{4}-\d\d-\d\d[T\d:.Z]*/g, '') : bytes);
  // In the order of the names: a run that goes on may set a document's parts in another.
  const plain = (value) => {
    if (typeof value === 'string') return value.replaceAll(/\S*\/out-[\w-]+/g, 'OUT');
    if (Array.isArray(value)) return value.map(plain);
    if (typeof value !== 'object' || value === null) return value;
    const entries = Object.entries(value).filter(([key]) => !aside.has(key));
    return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, part]) => [key, plain(part)]));
  };
  return hash(JSON.stringify(plain(JSON.parse(bytes.toString()))));
}

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
const fail = (job, message) => {
  console.error(`${job}: ${message}`);
  process.exitCode = 1;
};

/** A sweep's file holds whole points while it grows; all else is there whole or not at all. */
function checkWhole(job, out, expected) {
  if (job === 'sweep') {
    if (existsSync(`${out}.json`)) JSON.parse(readFileSync(`${out}.json`, 'utf8'));
    return;
  }
  const found = resultOf(out);
  if (found && !same(found, expected)) fail(job, `half-written output after a kill: ${JSON.stringify(found)}`);
}

const tally = {};
/** One run, killed up to `kills` times before it may end; gives how often it was. */
async function chain(job, kills) {
  const { expected } = alone[job];
  let done = 0;
  const work = mkdtempSync(join(folder, 'work-'));
  const out = join(work, 'out-killed');
  const counts = (tally[job] ??= { kills: 0, finishedFirst: 0, continued: 0, progressLeft: 0 });
  const finished = () => job !== 'sweep' && resultOf(out) !== undefined;
  for (let i = 0; i < kills && !finished(); i++) {
    const { killed, code, stderr, ms } = await start(jobs[job](out), 100 + uniform() * 0.9 * alone[job].ms);
    if (/continuing|going on/.test(stderr)) counts.continued++;
    if (killed) {
      counts.kills++;
      done++;
    } else {
      // The first run may have been slowed by other work.
      if (i === 0) alone[job].ms = Math.min(alone[job].ms, ms);
      counts.finishedFirst++;
      if (code !== 0) fail(job, `exit code ${code}: ${stderr}`);
    }
    checkWhole(job, out, expected);
  }
  if (!finished()) {
    const { code, stderr } = await start(jobs[job](out));
    if (/continuing|going on/.test(stderr)) counts.continued++;
    if (code !== 0) fail(job, `exit code ${code}: ${stderr}`);
  }
  const found = resultOf(out);
  if (!same(found, expected))
    fail(job, `another result: ${JSON.stringify(found)} instead of ${JSON.stringify(expected)}`);
  // A kill between the result and the removal of its progress leaves the latter; a further run would remove it.
  if (readdirSync(work).some((name) => name.includes('.progress'))) counts.progressLeft++;
  rmSync(work, { recursive: true });
  return done;
}

const chosen = o.commands.split(',').filter((job) => {
  const [name] = jobs[job]('');
  return spawnSync(process.execPath, [main, name, '--help']).status === 0;
});
const alone = {};
for (const job of chosen) {
  const work = join(folder, `alone-${job}`);
  mkdirSync(work);
  const out = join(work, 'out-alone');
  const { code, stderr, ms } = await start(jobs[job](out));
  if (code !== 0) throw new Error(`${job} failed: ${stderr}`);
  alone[job] = { expected: resultOf(out), ms };
  if (job === 'streamed' && !stderr.includes('streamed')) throw new Error('the model was not streamed');
}
for (let done = 0, turn = 0; done < Number(o.runs); turn++) {
  const job = chosen[turn % chosen.length];
  done += await chain(job, Math.min(3, Number(o.runs) - done));
}
for (const [job, counts] of Object.entries(tally))
  console.log(`${job}: ${JSON.stringify(counts)}, alone ${alone[job].ms} ms`);
