/** The texts and tokens that both checkouts read, drawn from a written-down seed. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

const words = (
  'once there was a girl with red balls and a big dog who liked to play in the park near her friend they ran all day ' +
  'until rain came so mother said it is time to go home now said they would see him again soon'
).split(' ');

/** Of so many sentences, from a multiplicative congruential generator (Park and Miller, 1988). */
function sentences(seed, count) {
  let state = seed;
  const below = (n) => Math.floor(((state = (state * 48271) % 2147483647) / 2147483647) * n);
  return Array.from({ length: count }, () => {
    const line = Array.from({ length: 5 + below(9) }, () => words[below(words.length)]).join(' ');
    return `${line[0].toUpperCase()}${line.slice(1)}.`;
  });
}

/** a.txt: documents of a few sentences; b.jsonl: others in the field `story`; tokens.json: two rows of 24 tokens. */
export function writeTexts(folder) {
  const documents = (seed) => Array.from({ length: 40 }, (_, i) => sentences(seed + i, 4 + (i % 5)).join(' '));
  writeFileSync(join(folder, 'a.txt'), documents(1001).join('\n<|endoftext|>\n'));
  writeFileSync(join(folder, 'c.txt'), documents(3001).join('\n<|endoftext|>\n'));
  const lines = documents(2001).map((story) => JSON.stringify({ story }));
  writeFileSync(join(folder, 'b.jsonl'), `${lines.join('\n')}\n`);
  const tokens = [0, 1].map((row) => Array.from({ length: 24 }, (_, i) => 4 + ((i * 37 + row * 101) % 316)));
  writeFileSync(join(folder, 'tokens.json'), JSON.stringify(tokens));
}
