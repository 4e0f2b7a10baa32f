import { gunzipSync, gzipSync } from 'node:zlib';
import type { Random } from '../random.js';
import { mutateBytes } from './bytes.js';
import { mutateJson } from './json.js';
import { mutateSafetensors } from './safetensors.js';
import { mutateText } from './text.js';

export type Mutate = (random: Random, bytes: Uint8Array) => Uint8Array;

const ofText =
  (mutate: (random: Random, text: string) => string): Mutate =>
  (random, bytes) =>
    // Now and then what is no UTF-8.
    random.chance(0.1) ? mutateBytes(random, bytes) : Buffer.from(mutate(random, new TextDecoder().decode(bytes)));

/** One line of records, or the text. */
function mutateLines(random: Random, text: string): string {
  const lines = text.split('\n');
  const at = random.below(lines.length);
  if (random.chance(0.2) || !lines[at].trim()) return mutateText(random, text);
  lines[at] = mutateJson(random, lines[at]);
  return lines.join('\n');
}

const byEnding: Readonly<Record<string, Mutate>> = {
  json: ofText(mutateJson),
  progress: ofText(mutateJson),
  jsonl: ofText(mutateLines),
  txt: ofText(mutateText),
  jinja: ofText(mutateText),
  safetensors: mutateSafetensors,
  // What is compressed well, or the compression.
  gz: (random, bytes) =>
    random.chance(0.5) ? gzipSync(ofText(mutateLines)(random, gunzipSync(bytes))) : mutateBytes(random, bytes),
};

/** Changes a file as its ending has it: its structure where it is known, else its bytes. */
export const mutateFile = (random: Random, name: string, bytes: Uint8Array): Uint8Array =>
  (byEnding[name.split('.').at(-1)!] ?? mutateBytes)(random, bytes);
