import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { llmDropVersion } from '../jobs/version.js';

/** The package's folder: this file lies two levels below it, built or not. */
export const packageFolder = fileURLToPath(new URL('../..', import.meta.url));

export const version = llmDropVersion();

/** The model that comes with the package. */
export const builtInModel = join(packageFolder, 'models', 'tiny-stories');
