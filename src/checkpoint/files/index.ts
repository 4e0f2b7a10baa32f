/** Where files are read from: the disk. For browsers, bundlers take `browser.ts` in place of this file (package.json, `browser`). */
export { node as fileSystem } from './node.js';
export type { OpenFile } from './fileSystem.js';
