import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The package's folder: this file lies two levels below it, built or not. */
export const packageFolder = fileURLToPath(new URL('../..', import.meta.url));

const { version } = JSON.parse(readFileSync(join(packageFolder, 'package.json'), 'utf8')) as { version: string };

export { version };

/** The model that comes with the package. */
export const builtInModel = join(packageFolder, 'models', 'tiny-stories');
