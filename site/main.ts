/** The playground: a model in the page, whose modules can be switched off. */
import type { Drops, ModuleKind } from 'llm-drop';
import { EngineClient } from './engineClient.js';
import { onGivenFiles } from './givenFiles.js';
import { LayerSwitches } from './layerSwitches.js';
import { element } from './page.js';
import type { ModelFacts, ModelPlace, Readings } from './protocol.js';
import { showReadings } from './readings.js';

const engine = new EngineClient();
const switches = new LayerSwitches(() => changed());
const prompt = element('prompt', HTMLInputElement);
const passage = element('passage', HTMLTextAreaElement);
const sliders: Readonly<Record<ModuleKind, HTMLInputElement>> = {
  attention: element('drop-attention', HTMLInputElement),
  mlp: element('drop-mlp', HTMLInputElement),
};

let facts: ModelFacts | undefined;
let whole: Readings | undefined;

/** A line on what is under way. */
function say(line: string): void {
  element('status').textContent = line;
}

function fail(error: unknown): void {
  element('error').textContent = error instanceof Error ? error.message : String(error);
  say('');
}

async function open(place: ModelPlace): Promise<void> {
  element('error').textContent = '';
  element('model').ariaBusy = 'true';
  say('opening the model');
  const found = await engine.call('open', place, tellProgress).finally(() => (element('model').ariaBusy = 'false'));
  if (!found) return;
  facts = found;
  const millions = (found.parameters / 1e6).toPrecision(3);
  element('model-name').textContent = found.name;
  const threads = `${found.threads} ${found.threads === 1 ? 'thread' : 'threads'}`;
  element('facts').textContent =
    `${found.type}, ${found.layers} layers, ${millions} million parameters; ${found.backend}, ${threads}`;
  element('notes').textContent = found.notes.join('; ');
  switches.show(found);
  await restart();
}

/** Scores and measures the whole model, as after opening it, and where prompt or passage change. */
async function restart(): Promise<void> {
  if (!facts) return;
  const similarity = await engine.call('score', { passage: passage.value }, tellProgress);
  if (!similarity) return;
  switches.colour(similarity);
  for (const kind of ['attention', 'mlp'] as const)
    sliders[kind].max = String(similarity[kind].filter((score) => score !== null).length);
  whole = undefined;
  await measure();
}

/** Measures what is switched on now, and before it, once, the whole model. A later change stops it. */
async function measure(): Promise<void> {
  if (!facts) return;
  if (!whole) {
    whole = await run(facts.absent);
    if (!whole) return;
    element('whole-text').textContent = whole.text;
  }
  if (JSON.stringify(switches.drops) === JSON.stringify(facts.absent)) show(whole);
  else await run(switches.drops);
}

function changed(): void {
  for (const kind of ['attention', 'mlp'] as const) {
    const count = String(switches.drops[kind].length - (facts?.absent[kind].length ?? 0));
    sliders[kind].value = count;
    element(`${sliders[kind].id}-count`).textContent = count;
  }
  measure().catch(fail);
}

async function run(drops: Drops): Promise<Readings | undefined> {
  let text = prompt.value;
  showReadings({}, whole);
  element('text').ariaBusy = 'true';
  say('measuring');
  const options = { drops, prompt: prompt.value, passage: passage.value };
  const readings = await engine.call('run', options, (told) => {
    if ('loss' in told) showReadings({ loss: told.loss }, whole);
    if ('piece' in told) showText((text += told.piece));
  });
  if (readings) show(readings);
  return readings;
}

/** What was written so far; a phone has room for what comes behind the prompt. */
function showText(text: string): void {
  element('text').textContent = text;
  element('glimpse').textContent = `…${text.slice(prompt.value.length)}`;
}

function show(readings: Readings): void {
  element('text').ariaBusy = 'false';
  showText(readings.text);
  showReadings(readings, whole);
  say('');
}

const tellProgress = (told: object): void => {
  if ('progress' in told) say(String(told.progress));
};

async function choose(): Promise<void> {
  const counts = { attention: Number(sliders.attention.value), mlp: Number(sliders.mlp.value) };
  const drops = await engine.call('choose', counts);
  if (!drops) return;
  switches.drops = drops;
  changed();
}

for (const slider of Object.values(sliders)) slider.addEventListener('input', () => void choose().catch(fail));
element('whole').addEventListener('click', () => {
  switches.drops = { attention: [], mlp: [] };
  changed();
});
element('texts').addEventListener('change', () => void restart().catch(fail));
element('texts').addEventListener('submit', (event) => event.preventDefault());
onGivenFiles((place) => void open(place).catch(fail));

const base = new URL('.', location.href);
fetch(new URL('model.json', base))
  .then((response) => response.json() as Promise<{ path: string }>)
  .then(({ path }) => open({ url: new URL(path, base).href }))
  .catch(fail);
