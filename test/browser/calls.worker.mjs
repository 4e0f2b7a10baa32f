import * as functions from './calls.mjs';

const calls = { ...functions };

/** The threads of the engine are workers of this worker. */
let workers = 0;
const { Worker } = globalThis;
globalThis.Worker = class extends Worker {
  constructor(...given) {
    super(...given);
    workers++;
  }
};

addEventListener('message', ({ data: { name, options } }) => void answer(name, options));

async function answer(name, options) {
  try {
    const result = await calls[name](options);
    postMessage({ result: typeof result === 'object' ? { ...result, workers } : result });
  } catch (error) {
    postMessage({ error: String(error.stack ?? error) });
  }
}
