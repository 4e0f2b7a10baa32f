import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { loadTokenizer, turnEnd } from '../../../src/checkpoint/index.js';

const fixtures = fileURLToPath(new URL('../../fixtures/tokenizer', import.meta.url));

async function endOf(template: string | undefined): Promise<number | undefined> {
  const folder = mkdtempSync(join(tmpdir(), 'llm-drop-turn-'));
  try {
    copyFileSync(join(fixtures, 'tokenizer.json'), join(folder, 'tokenizer.json'));
    if (template !== undefined) writeFileSync(join(folder, 'chat_template.jinja'), template);
    return turnEnd(await loadTokenizer(folder));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe('turnEnd', () => {
  const turns = (behind: string): string =>
    `{% for m in messages %}<s>{{ m.role }}\n{{ m.content }}${behind}{% endfor %}`;
  it.each([
    ['a special token', turns('<pad>\n'), 0],
    ['one behind a space', turns(' </s>'), 2],
    ['none: a word', turns(' end'), undefined],
    ['none: a line', turns('\n'), undefined],
    ['none: the template refuses answers', "{{ raise_exception('no answers') }}", undefined],
    ['none: answers are left out', '{{ messages[0].content }}', undefined],
    ['none: no template', undefined, undefined],
  ])('%s', async (_what, template, id) => expect(await endOf(template)).toBe(id));
});
