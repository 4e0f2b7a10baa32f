/** The host that the engine runs on. A build for another place than Node puts another file here. */
export { node as host } from './node.js';
