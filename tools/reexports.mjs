// Fails where src/index.ts does more than re-export.
import { readFileSync } from 'node:fs';

const path = 'src/index.ts';
const rest = readFileSync(path, 'utf8')
  .replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '')
  .replace(/export (type )?(\{[^}]*\}|\*( as \w+)?) from '[^']+';/g, '')
  .trim();
if (rest) {
  console.error(`${path} only re-exports, but it also holds:\n${rest}`);
  process.exitCode = 1;
}
