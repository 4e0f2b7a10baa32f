// The figures of docs/compensation.md: node docs/compensation.mjs MODEL OUT.json CALIBRATION,... TEXT:SKIP:ROWS:LENGTH...
// Chooses attentions by cosine on the first SAMPLES rows of the first calibration text, refits on that many rows of it
// and on that many of each ("mix"), and prints the losses on ROWS rows of LENGTH tokens of each text, behind its first
// SKIP, and the share of the drop's cost that came back. OUT keeps the loss of each row, and what is there is not
// measured again. With LLM_DROP the library is taken from there.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';

const [folder, out, calibration, ...texts] = process.argv.slice(2);
const { COUNTS = '8,12', SAMPLES = '16', LENGTH = '512', ALPHA = '1', MODE = 'all', THREADS } = process.env;
const library = await import(process.env.LLM_DROP ?? new URL('../dist/index.js', import.meta.url));
const { calibrationRows, compensate, createEngine, evaluateLoss, loadModel, loadTokenizer, Model } = library;

const [samples, length] = [Number(SAMPLES), Number(LENGTH)];
const state = existsSync(out) ? JSON.parse(readFileSync(out, 'utf8')) : { choices: {}, losses: {}, refits: {} };
const save = () => writeFileSync(out, JSON.stringify(state));

const tokenizer = await loadTokenizer(folder);
const rowsOf = async (file, options) => (await calibrationRows(tokenizer, [file], options)).rows;
const engine = await createEngine('wasm', { threads: THREADS && Number(THREADS), v8Flags: true });
const whole = await loadModel(folder, { engine });
const fitted = await Promise.all(calibration.split(',').map((file) => rowsOf(file, { samples, length })));
const fits = [['first', fitted[0]], ...(fitted.length > 1 ? [['mix', fitted.flat()]] : [])];

async function measure(name, parameters, attention) {
  state.losses[name] ??= {};
  const missing = texts.filter((text) => !state.losses[name][text]);
  if (missing.length === 0) return;
  const { parameters: source } = await parameters();
  using model = new Model(engine, whole.description, source);
  model.setDrops({ attention, mlp: [] });
  await model.load();
  for (const text of missing) {
    const [file, skip, rows, tokens] = text.split(':');
    const held = await rowsOf(file, { skip: Number(skip), samples: Number(rows), length: Number(tokens) });
    state.losses[name][text] = (await evaluateLoss(model, held)).rowLosses;
  }
  save();
}

const asStored = async () => whole;
await measure('whole', asStored, []);
for (const count of COUNTS.split(',').map(Number)) {
  if (!state.choices[count]) {
    state.importance ??= await library.scoreImportance(whole, fitted[0]);
    state.choices[count] = library.selectDrops(state.importance, 'attention', count).attention;
  }
  const attention = state.choices[count];
  await measure(`${count}`, asStored, attention);
  for (const [name, rows] of fits) {
    const refit = async () => {
      const begin = performance.now();
      const { weights, refits } = await compensate(whole, { attention, mlp: [] }, rows, {
        mode: MODE,
        alpha: Number(ALPHA),
      });
      state.refits[`${count} ${name}`] = { seconds: (performance.now() - begin) / 1000, refits };
      return { parameters: weights.over(whole.parameters) };
    };
    await measure(`${count} ${name}`, refit, attention);
  }
}

const mean = (numbers) => numbers.reduce((sum, x) => sum + x, 0) / numbers.length;
const shareOf = (without, dropped, refit) => (mean(dropped) - mean(refit)) / (mean(dropped) - mean(without));
/** The share that came back, and its standard error by leaving out each row in turn (the jackknife of a ratio). */
function share(...losses) {
  const n = losses[0].length;
  const left = losses[0].map((_, i) => shareOf(...losses.map((rows) => rows.filter((_, j) => j !== i))));
  const error = Math.sqrt(((n - 1) / n) * left.reduce((sum, x) => sum + (x - mean(left)) ** 2, 0));
  return `${(100 * shareOf(...losses)).toFixed(1)} ± ${(100 * error).toFixed(1)} %`;
}
console.log(
  '| attentions dropped | text | whole | dropped | fitted on | refit | came back |\n|---|---|---|---|---|---|---|',
);
for (const count of COUNTS.split(','))
  for (const text of texts) {
    const [file, , rows, tokens] = text.split(':');
    const [without, dropped] = ['whole', count].map((name) => state.losses[name][text]);
    for (const [name] of fits) {
      const refit = state.losses[`${count} ${name}`][text];
      const cells = [
        count,
        `${basename(file)}, ${rows} rows of ${tokens}`,
        ...[without, dropped].map((l) => mean(l).toFixed(4)),
      ];
      console.log(`| ${[...cells, name, mean(refit).toFixed(4), share(without, dropped, refit)].join(' | ')} |`);
    }
  }
console.log(state.choices);
