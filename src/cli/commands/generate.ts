import type { ChatMessage, Tokenizer } from '../../checkpoint/index.js';
import { UserError } from '../../engine/index.js';
import { chatTurn, generateText } from '../../models/index.js';
import { command, loadOptionsOf, type Values } from '../command.js';
import { loadTextModel } from '../../jobs/textModel.js';
import { chatOptions, chatRenamed, openingOf } from '../chatOptions.js';
import { dropOptions, int, text, type Option } from '../options.js';
import { provenance } from '../../jobs/provenance.js';
import { samplingOf, samplingOptions } from '../sampling.js';

export const generate = command('generate', 'Continue a prompt, or answer a message', {
  description:
    'Prints the prompt and what follows it as it comes. Without --temperature the likeliest token is taken. With --chat the ' +
    'prompt is a message, put into the words of the tokenizer’s chat template, and the answer alone is printed.',
  options: {
    prompt: text('what to continue'),
    chat: { ...text('answer this message, or that of --prompt'), optional: true } as Option<string | true | undefined>,
    ...chatOptions,
    maxTokens: int('tokens to generate at most', 1, 128),
    ...samplingOptions,
    ...dropOptions,
  },
  renamed: chatRenamed,
  examples: [
    ['generate models/tiny-stories --prompt "Once upon a time"', 'the likeliest continuation'],
    ['generate Llama-3.2-1B --prompt "The moon" --temperature 0.8 --top-p 0.95 --seed 7', 'a sampled one'],
    ['generate Llama-3.2-1B --prompt "The moon" --drop-attn 10-13', 'without four attentions'],
    ['generate SmolLM2-360M-Instruct --chat "Why is the sky blue?" --system "Answer in verse."', 'an answer'],
  ],
  run: async (o, ui) => {
    const prompt = promptOf(o);
    const { opening, template } = await openingOf(o);
    const messages: ChatMessage[] | undefined =
      o.chat !== undefined ? [...opening, { role: 'user', content: prompt }] : undefined;
    const check = (tokenizer: Tokenizer): unknown => messages && tokenizer.applyChatTemplate(messages, { template });
    await using loaded = await loadTextModel(o.model, { ...loadOptionsOf(o), ...ui.job }, check);
    const { model, tokenizer } = loaded;
    let unsaid = messages ? '' : prompt;
    const options = {
      ...{ ...samplingOf(o), signal: ui.signal },
      onText: (piece: string) => {
        ui.stream(unsaid + piece);
        unsaid = '';
      },
    };
    const {
      text: made,
      tokens,
      stoppedBy,
    } = messages
      ? await chatTurn(loaded, messages, { ...options, template })
      : // The tokenizer's own post-processing decides whether a beginning-of-text token comes first.
        await generateText(loaded, tokenizer.encode(prompt, { addSpecialTokens: true }), options);
    ui.stream('\n');
    ui.signal.throwIfAborted();
    ui.show(
      { model: o.model, prompt, text: made, tokens, stoppedBy, drop: model.drops, ...provenance(model) },
      () => [],
    );
  },
});

interface Asking extends Values<typeof chatOptions> {
  readonly prompt: string | undefined;
  readonly chat: string | true | undefined;
}

function promptOf({ prompt, chat, system, chatTemplate }: Asking): string {
  if (typeof chat === 'string' && prompt !== undefined)
    throw new UserError('--chat and --prompt both say what to answer: give it to one of them');
  const given = typeof chat === 'string' ? chat : prompt;
  if (given === undefined)
    throw new UserError(`generate needs --prompt <text>${chat ? ' or --chat <text>' : ''}`, {
      hint: 'llm-drop generate --help shows examples',
    });
  if (chat === undefined && (system ?? chatTemplate) !== undefined)
    throw new UserError(`${system === undefined ? '--chat-template' : '--system'} goes with --chat`);
  return given;
}
