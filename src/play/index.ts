/** The playground of `llm-drop play`: the static site, and a model's files for it. */
export { servePlayground, type Playground } from './playground.js';
