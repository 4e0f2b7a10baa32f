/** What the tests call within a worker of a page; in Node it is the same code. */
import { createBatch, decodeSpeed, generateText, holdFiles, loadModel } from '../../dist/browser.js';

export async function greedy({ model: from, prompt, backend, threads, maxTokens }) {
  const model = await loadModel(from, { backend, threads });
  const tokenizer = await model.source.tokenizer();
  const started = performance.now();
  const { text, tokens } = await generateText({ model, tokenizer }, tokenizer.encode(prompt), { maxTokens });
  const seconds = (performance.now() - started) / 1000;
  await model.close();
  return { text, tokens: [...tokens], tokensPerSecond: tokens.length / seconds };
}

/** Logits of sequences. */
export async function logits({ model: from, inputIds, backend, threads, drops }) {
  const model = await loadModel(from, { backend, threads, drops });
  const values = await model.engine.readFloats(model.logits(model.forward(createBatch(inputIds))));
  await model.close();
  return { logits: [...values] };
}

/** Tokens a second, the fastest of some repeats. */
export async function speed({ model: from, threads, ...options }) {
  const model = await loadModel(from, { backend: 'wasm', threads });
  const tokensPerSecond = await decodeSpeed(model, [0], options);
  const { tier } = model.engine.backend.abilities;
  await model.close();
  return { tokensPerSecond, tier };
}

/** Holds the files of a folder that the server has, as if the page had been given them. */
export async function greedyOfFiles({ origin, folder, names, model, ...options }) {
  const files = new Map();
  for (const name of names) files.set(name, await (await fetch(`${origin}/${folder}/${name}`)).blob());
  holdFiles('given', files);
  return greedy({ ...options, model });
}

/** The same, from the origin's private file system. */
export async function greedyOfPrivateFiles({ origin, folder, names, ...options }) {
  const directory = await (await navigator.storage.getDirectory()).getDirectoryHandle('stories', { create: true });
  for (const name of names) {
    const file = await directory.getFileHandle(name, { create: true });
    const stream = await file.createWritable();
    await stream.write(await (await fetch(`${origin}/${folder}/${name}`)).blob());
    await stream.close();
  }
  return greedy({ ...options, model: 'opfs:stories' });
}

export async function failure({ model }) {
  try {
    await loadModel(model);
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
}

export const facts = () => ({
  isolated: globalThis.crossOriginIsolated,
  cores: navigator.hardwareConcurrency,
});
