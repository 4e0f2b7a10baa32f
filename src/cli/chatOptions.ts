import { readFile } from 'node:fs/promises';
import { fileError, type ChatMessage } from '../checkpoint/index.js';
import type { Values } from './command.js';
import { text } from './options.js';

/** What chats begin with, and what makes texts of them. */
export const chatOptions = {
  system: text('what the model is told before the first message'),
  chatTemplate: text('a Jinja template in place of the model’s own, or where it has none', 'file'),
};

/** Of the library's options: its name -> the one here. */
export const chatRenamed = { template: 'chatTemplate' } as const;

/** The messages that a chat begins with, and the template that was given. */
export async function openingOf({
  system,
  chatTemplate,
}: Values<typeof chatOptions>): Promise<{ opening: readonly ChatMessage[]; template?: string }> {
  const template =
    chatTemplate === undefined
      ? undefined
      : await readFile(chatTemplate, 'utf8').catch((error: unknown) => {
          throw fileError(error, 'cannot read', chatTemplate);
        });
  return { opening: system === undefined ? [] : [{ role: 'system', content: system }], template };
}
