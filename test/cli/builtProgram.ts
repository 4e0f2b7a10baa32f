import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './commandLine.js';

/** The program as a process of its own runs it; `npm test` builds it first. */
export const main = join(root, 'dist/cli/main.js');

/** What `describe.skipIf` wants the opposite of. */
export const built = existsSync(main);
if (!built) console.warn('skipped: dist/cli/main.js is not built (npm run build)');
