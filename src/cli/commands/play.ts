import { once } from 'node:events';
import { openModel } from '../../models/index.js';
import { servePlayground } from '../../play/index.js';
import { command } from '../command.js';
import { int, text } from '../options.js';
import { builtInModel } from '../package.js';

export const play = command('play', 'Switch modules of a model off in the browser, and see what changes', {
  description:
    'Serves a page in which the model runs: every attention and every MLP is a switch, coloured by how redundant it is; ' +
    'text, loss, tokens a second and bytes of the KV cache follow at once. Only browsers of this machine reach it unless ' +
    '--host names another address. Ctrl-C ends it. docs/browser.md tells more.',
  defaultModel: () => builtInModel,
  computes: false,
  options: {
    port: int('where to listen; 0 takes a free one', 0, 8088),
    host: text('address to listen on (default: 127.0.0.1)', 'address'),
  },
  examples: [
    ['play', 'the built-in model'],
    ['play SmolLM2-135M-Instruct --port 9000', 'another model; the browser loads all of its weights'],
  ],
  run: async (o, ui) => {
    // What is wrong with a model is told here, before a page is open.
    await (await openModel(o.model))[Symbol.asyncDispose]();
    await using playground = await servePlayground(o.model, { port: o.port, host: o.host });
    ui.show({ url: playground.url }, ({ url }) => [`the playground is at ${url}`]);
    if (!ui.signal.aborted) await once(ui.signal, 'abort');
  },
});
