import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

let found: string | undefined;

/** Of llm-drop: records say which one made them. */
export function llmDropVersion(): string {
  // Two levels below the package's folder, built or not.
  const path = fileURLToPath(new URL('../../package.json', import.meta.url));
  return (found ??= (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version);
}
