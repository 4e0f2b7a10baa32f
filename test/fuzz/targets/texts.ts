/** Texts to calibrate on, in every form that they are read in. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { calibrationRows } from '../../../src/text/index.js';
import type { Files, Target } from '../target.js';

const fixtures = new URL('../../fixtures/text/', import.meta.url);
const stories = Array.from({ length: 6 }, (_, i) => `Once there was a cat with ${i} “friends”.\nThey were très happy.`);

const lines = (records: readonly unknown[]): string => records.map((record) => `${JSON.stringify(record)}\n`).join('');
const said = (story: string): object => ({
  messages: [
    { role: 'user', content: 'Tell a story.' },
    { role: 'assistant', content: story },
  ],
});
const jsonl = lines(stories.map((text) => ({ text })));

/** A zstd frame of one block as it is (RFC 8878): one segment, its size in one byte. */
const zstd = (content: string): Uint8Array => {
  const bytes = Buffer.from(content).subarray(0, 255);
  const block = (bytes.length << 3) | 1;
  return Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x20, bytes.length, block & 255, block >> 8, 0, ...bytes]);
};

const inputs: readonly Files[] = [
  { 'text.txt': stories.join('<|endoftext|>') },
  { 'text.jsonl': jsonl },
  { 'text.json': JSON.stringify(stories.map((text) => ({ text }))) },
  { 'chats.jsonl': lines(stories.map(said)) },
  { 'alpaca.jsonl': lines(stories.map((output) => ({ instruction: 'Tell.', input: '', output }))) },
  { 'text.jsonl.gz': gzipSync(jsonl) },
  { 'text.txt.zst': zstd(stories.join('\n')) },
  ...readdirSync(fixtures).map((name) => ({ [name]: readFileSync(new URL(name, fixtures)) })),
];

/** Of bytes. */
const tokenizer = {
  encode: (text: string): number[] => [...Buffer.from(text)],
  eosId: 0,
  chatTemplate: 'x',
  applyChatTemplate: (messages: readonly { role: string; content: unknown }[]): string =>
    messages.map(({ role, content }) => `${role}: ${String(content)}`).join('\n'),
};

export const textTargets: readonly Target[] = [
  {
    name: 'texts',
    share: 20,
    inputs: async () => inputs,
    read: async (folder) => {
      const files = readdirSync(folder).map((name) => join(folder, name));
      const { rows } = await calibrationRows(tokenizer, files, { samples: 4, length: 32 });
      return rows.flatMap((row) => [...row]);
    },
  },
];
