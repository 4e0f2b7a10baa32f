/** One model in the worker, and what is done with it. */
import {
  decodeSpeed,
  evaluateLoss,
  generateText,
  holdFiles,
  loadModel,
  modelSize,
  scoreImportance,
  selectDrops,
  type Importance,
  type LoadedModel,
  type Tokenizer,
} from 'llm-drop';
import type { Answer, Asked, Calls, CallName, ModelPlace, Told } from './protocol.js';

interface Run {
  readonly tell: (told: Told) => void;
  readonly signal: AbortSignal;
}

type Session = { readonly [N in CallName]: (options: Asked<N>, run: Run) => Promise<Answer<N>> };

/** Tokens that are written, and those that a passage may have. */
const writtenTokens = 96;
const passageTokens = 192;
/** Tokens and repeats from which the speed is taken. */
const speed = { tokens: 32, repeats: 6 };

let opened: { readonly model: LoadedModel; readonly tokenizer: Tokenizer } | undefined;
let importance: Importance | undefined;

export const session: Session = {
  open: async (place, { tell }) => {
    const { path, name } = pathOf(place);
    const model = await loadModel(path, {
      onProgress: (done, total) => tell({ progress: `loading layer ${done} of ${total}` }),
    });
    const tokenizer = await model.source.tokenizer().catch(async (error: unknown) => {
      await model.close();
      throw error;
    });
    // The model before stays where the new one cannot be opened.
    await opened?.model.close();
    opened = { model, tokenizer };
    importance = undefined;
    const { source, description, config, drops, engine } = model;
    return {
      name,
      type: config.modelType,
      layers: model.layers.length,
      parameters: modelSize(source, description, drops).parameters,
      context: config.maxPositionEmbeddings,
      backend: engine.backend.name,
      threads: engine.backend.abilities.threads,
      absent: drops,
      notes: model.notes,
    };
  },

  score: async ({ passage }, { tell }) => {
    const { model, row } = ready(passage);
    tell({ progress: 'scoring every module' });
    importance = await scoreImportance(model, [row], { gaps: [1] });
    const { attention, mlp } = importance.similarity;
    return { attention, mlp };
  },

  choose: async ({ attention, mlp }) => {
    if (!importance) throw new Error('nothing is scored yet');
    return {
      attention: selectDrops(importance, 'attention', attention).attention,
      mlp: selectDrops(importance, 'mlp', mlp).mlp,
    };
  },

  run: async ({ drops, prompt, passage }, { tell, signal }) => {
    const { model, tokenizer, row } = ready(passage);
    model.setDrops(drops);
    const { loss } = await evaluateLoss(model, [row], { signal });
    tell({ loss });
    const start = tokenizer
      .encode(prompt, { addSpecialTokens: true })
      .slice(-Math.floor(model.config.maxPositionEmbeddings / 2));
    const { text } = await generateText({ model, tokenizer }, start, {
      maxTokens: writtenTokens,
      onText: (piece) => tell({ piece }),
      signal,
    });
    signal.throwIfAborted();
    const tokensPerSecond = await decodeSpeed(model, start, speed);
    return { loss, text: prompt + text, tokensPerSecond, kvBytes: model.kvBytesPerToken() };
  },
};

/** The model, and a passage as a row of its tokens. */
function ready(passage: string): { model: LoadedModel; tokenizer: Tokenizer; row: Int32Array } {
  if (!opened) throw new Error('no model is open');
  const { model, tokenizer } = opened;
  const most = Math.min(passageTokens, model.config.maxPositionEmbeddings);
  return {
    model,
    tokenizer,
    row: Int32Array.from(tokenizer.encode(passage, { addSpecialTokens: true }).slice(0, most)),
  };
}

function pathOf(place: ModelPlace): { path: string; name: string } {
  if ('url' in place) return { path: place.url, name: decodeURIComponent(place.url.split('/').at(-1)!) };
  const { name, files } = place;
  holdFiles(name, files);
  const gguf = [...files.keys()].filter((path) => path.toLowerCase().endsWith('.gguf')).sort()[0];
  return { path: files.has('config.json') || gguf === undefined ? name : `${name}/${gguf}`, name };
}

export type { Calls };
