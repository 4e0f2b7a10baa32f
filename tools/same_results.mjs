/**
 * Shows that two checkouts give the same results to the last bit: random models of every family and kind, and on each
 * the command lines of same_results/commands.mjs, by `node dist/cli/main.js` of both. What they print and every file
 * that they write is compared; only what same_results/masks.mjs names may differ.
 *
 *   node tools/same_results.mjs BASE_CHECKOUT [THIS_CHECKOUT] [--models llama,mixtral] [--commands score,drop]
 *     [--tier baseline] [--jobs 2] [--keep DIR]
 *
 * A checkout that is not built is built, and what runs is a copy of the build, as checkouts may change meanwhile.
 * `--commands` also runs the steps that those need. `--tier` is the tier of instructions. Both checkouts run in a folder
 * of the same name, which is why they take turns. `--keep` leaves all files in DIR/MODEL/base and DIR/MODEL/this. Exits
 * with 1 where anything differs, or fails in both unexpectedly.
 */
import { execFileSync, spawn } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { steps as allSteps } from './same_results/commands.mjs';
import {
  fileDifference,
  filesBelow,
  jsonDifference,
  stderrDifference,
  textDifference,
} from './same_results/compare.mjs';
import { models as allModels, writeRandomModel } from './same_results/models.mjs';
import { refusalOf } from './same_results/refusals.mjs';
import { printTable } from './same_results/table.mjs';
import { writeTexts } from './same_results/texts.mjs';

const { values: o, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    models: { type: 'string' },
    commands: { type: 'string' },
    tier: { type: 'string', default: 'baseline' },
    jobs: { type: 'string', default: '2' },
    keep: { type: 'string' },
  },
});
const here = fileURLToPath(new URL('..', import.meta.url));
if (positionals.length < 1 || positionals.length > 2)
  throw new Error('give BASE_CHECKOUT, and THIS_CHECKOUT if it is not this one');
const checkouts = { base: resolve(positionals[0]), this: resolve(positionals[1] ?? here) };

const models = chosen(allModels, 'name', o.models);
const steps = withNeeded(chosen(allSteps, 'command', o.commands));

function chosen(list, key, names) {
  const wanted = names?.split(',') ?? list.map((one) => one[key]);
  const unknown = wanted.find((name) => !list.some((one) => one[key] === name));
  if (unknown !== undefined)
    throw new Error(`'${unknown}' is none of ${[...new Set(list.map((one) => one[key]))].join(', ')}`);
  return list.filter((one) => wanted.includes(one[key]));
}

/** In the order of all steps, those too whose folder another one reads. */
function withNeeded(chosen) {
  const needed = new Set(chosen);
  for (const step of allSteps.toReversed())
    if (
      [...needed].some(
        (later) => later !== step && later.words.slice(1).some((word) => word.split('/')[0] === step.folder),
      )
    )
      needed.add(step);
  return allSteps.filter((step) => needed.has(step));
}

const root = o.keep ? resolve(o.keep) : mkdtempSync(join(tmpdir(), 'same-results-'));
mkdirSync(root, { recursive: true });

/** What a command line runs of a checkout. */
function copyOfBuild(checkout, folder) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const name of ['dist', 'package.json']) cpSync(join(checkout, name), join(folder, name), { recursive: true });
  for (const name of ['models', 'node_modules']) symlinkSync(realpathSync(join(checkout, name)), join(folder, name));
  return folder;
}

/** How a command line ends: its exit code and what it printed. */
function llmDrop(checkout, words, cwd) {
  const env = { ...process.env, LLM_DROP_WASM_TIER: o.tier, LLM_DROP_NO_NOTICE: '1', NO_COLOR: '1' };
  const child = spawn(process.execPath, [join(checkout, 'dist/cli/main.js'), ...words], {
    cwd,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const printed = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'])
    child[name].setEncoding('utf8').on('data', (text) => (printed[name] += text));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code: code ?? signal, ...printed }));
  });
}

/** The folder that a model's steps start from: texts, the model, and where it was made of another, that one. */
async function prepare(model, folder) {
  mkdirSync(folder, { recursive: true });
  writeTexts(folder);
  const tokenizer = join(here, 'test/fixtures/tokenizer');
  if (!model.made) return writeRandomModel(join(folder, model.name), model, tokenizer);
  const whole = `${model.name}-whole`;
  writeRandomModel(join(folder, whole), model, tokenizer);
  const [command, ...rest] = model.made;
  const words = [command, whole, ...rest, '--out', model.name];
  const { code, stderr } = await llmDrop(checkouts.base, words, folder);
  if (code !== 0) throw new Error(`the base does not make the model ${model.name}: ${stderr}`);
}

const stepsOf = (model) => steps.filter((step) => !step.models || step.models.includes(model.name));

/** Runs all steps of a checkout in `folder`. */
async function runSteps(checkout, model, folder) {
  const outcomes = [];
  const names = {
    '{model}': model.name,
    '{whole}': model.made ? `${model.name}-whole` : model.name,
    '{memory}': model.memory,
  };
  for (const { words, folder: own, recipe } of stepsOf(model)) {
    mkdirSync(join(folder, own));
    if (recipe) writeFileSync(join(folder, own, 'recipe.json'), JSON.stringify(recipe(model)));
    outcomes.push(
      await llmDrop(
        checkout,
        words.map((word) => names[word] ?? word),
        folder,
      ),
    );
  }
  return outcomes;
}

/** The verdict on each step of a model, and on files that no step was told to write. */
async function compareModel(model) {
  const [start, run] = ['start', 'run'].map((name) => join(root, model.name, name));
  rmSync(join(root, model.name), { recursive: true, force: true });
  await prepare(model, start);
  const [outcomes, folders] = [{}, {}];
  for (const side of ['base', 'this']) {
    cpSync(start, run, { recursive: true });
    outcomes[side] = await runSteps(checkouts[side], model, run);
    folders[side] = join(root, model.name, side);
    renameSync(run, folders[side]);
  }
  const verdicts = stepsOf(model).map((step, i) => ({
    model: model.name,
    ...step,
    ...verdict(step, model, outcomes.base[i], outcomes.this[i], folders),
  }));
  const stray = strayDifferences(folders);
  if (!o.keep) rmSync(join(root, model.name), { recursive: true });
  return [...verdicts, { model: model.name, name: 'files elsewhere', command: 'files elsewhere', ...stray }];
}

function verdict(step, model, base, other, folders) {
  const differences = [
    base.code === other.code
      ? undefined
      : `exit code: ${base.code} / ${other.code}: ${(base.stderr || other.stderr).trim()}`,
    withName('stdout', (step.json ? jsonDifference : textDifference)(base.stdout, other.stdout)),
    withName('stderr', stderrDifference(base.stderr, other.stderr)),
    ...fileDifferences(folders, step.folder),
  ].filter((difference) => difference !== undefined);
  const [first, ...more] = differences;
  if (first) return { kind: 'DIFFERENT', says: more.length ? `${first} (and ${more.length} more)` : first };
  const refusal = refusalOf(step, model);
  if (base.code === 0) return refusal ? { kind: 'NOT REFUSED', says: refusal } : { kind: 'same' };
  return refusal ? { kind: 'refused alike', says: refusal } : { kind: 'FAILED in both', says: base.stderr.trim() };
}

const withName = (name, difference) => difference && `${name}, ${difference}`;

function fileDifferences(folders, below) {
  const [files, others] = ['base', 'this'].map((side) => filesBelow(join(folders[side], below)));
  return [...new Set([...files, ...others])].map((file) => {
    if (!others.includes(file)) return `${file}: written by the base only`;
    if (!files.includes(file)) return `${file}: not written by the base`;
    return withName(file, fileDifference(...['base', 'this'].map((side) => join(folders[side], below, file))));
  });
}

function strayDifferences(folders) {
  const own = new Set(steps.map(({ folder }) => folder));
  const stray = (side) => filesBelow(folders[side]).filter((file) => !own.has(file.split('/')[0]));
  const [files, others] = ['base', 'this'].map(stray);
  const found = [...new Set([...files, ...others])].find(
    (file) =>
      !files.includes(file) ||
      !others.includes(file) ||
      fileDifference(join(folders.base, file), join(folders.this, file)),
  );
  return found === undefined ? { kind: 'same' } : { kind: 'DIFFERENT', says: found };
}

for (const side of ['base', 'this']) {
  const checkout = checkouts[side];
  if (!existsSync(join(checkout, 'src/index.ts'))) throw new Error(`${checkout} is no checkout of llm-drop`);
  execFileSync(join(checkout, 'tools/build_if_stale.sh'), { stdio: 'inherit' });
  checkouts[side] = copyOfBuild(checkout, join(root, 'checkouts', side));
}
const started = performance.now();
const waiting = [...models];
const results = new Map();
await Promise.all(
  Array.from({ length: Number(o.jobs) }, async () => {
    for (let model = waiting.shift(); model; model = waiting.shift()) {
      results.set(model.name, await compareModel(model));
      process.stderr.write(`${model.name}: done after ${Math.round((performance.now() - started) / 1000)} s\n`);
    }
  }),
);
if (!o.keep) rmSync(root, { recursive: true });
const verdicts = models.flatMap(({ name }) => results.get(name));
console.log(`tier ${o.tier}, Node ${process.versions.node}, ${steps.length} steps on each of ${models.length} models`);
printTable(verdicts);
process.exitCode = verdicts.every(({ kind }) => kind === 'same' || kind === 'refused alike') ? 0 : 1;
