/** The host that the engine runs on: Node. For browsers, bundlers take `browser.ts` in place of this file (package.json, `browser`). */
export { node as host } from './node.js';
