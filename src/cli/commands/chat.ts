import type { ChatMessage } from '../../checkpoint/index.js';
import { UserError } from '../../engine/index.js';
import { loadTextModel, type TextModel } from '../../jobs/textModel.js';
import { TokenCache, chatTurn, type ChatTurnOptions } from '../../models/index.js';
import { provenance } from '../../jobs/provenance.js';
import { command, loadOptionsOf } from '../command.js';
import { chatOptions, chatRenamed, openingOf } from '../chatOptions.js';
import { dropOptions, int } from '../options.js';
import type { Questions } from '../questions.js';
import { samplingOf, samplingOptions } from '../sampling.js';
import type { Ui } from '../ui.js';

const usage = '/reset begins anew, /exit ends; Ctrl-C stops an answer, and ends where there is none';

export const chat = command('chat', 'Talk with a model', {
  description:
    'Each line is a message, put into the words of the tokenizer’s chat template, and the answer comes as it is made. What ' +
    'was said before stays in the key-value cache. On a terminal there are /help, /reset and /exit, and Ctrl-C stops an ' +
    'answer; otherwise each line of standard input is answered, until its end.',
  options: {
    ...chatOptions,
    maxTokens: int('tokens of an answer at most', 1, 1024),
    ...samplingOptions,
    ...dropOptions,
  },
  renamed: chatRenamed,
  examples: [
    ['chat SmolLM2-360M-Instruct', 'until /exit'],
    ['chat SmolLM2-360M-Instruct --system "Answer in verse." --temperature 0.7', 'with a word before, and sampled'],
    [
      'chat hf:HuggingFaceTB/SmolLM2-360M-Instruct --drop-attn 20-23 --int4',
      'pulled, without four attentions, in 4 bits',
    ],
    ['chat gemma-3-270m-q4_k_m.gguf --chat-template gemma.jinja', 'a model that has no template'],
    ['chat SmolLM2-360M-Instruct < questions.txt > answers.txt', 'a line, an answer'],
  ],
  run: async (o, ui) => {
    const { opening, template } = await openingOf(o);
    await using speaker = await loadTextModel(o.model, { ...loadOptionsOf(o), ...ui.job }, (tokenizer) =>
      tokenizer.applyChatTemplate([...opening, { role: 'user', content: '?' }], { template }),
    );
    const messages = await converse(speaker, ui, opening, { ...samplingOf(o), template });
    ui.show({ model: o.model, messages, drop: speaker.model.drops, ...provenance(speaker.model) }, () => []);
  },
});

/** Until the questions end. Gives what was said since the chat began anew. */
async function converse(
  speaker: TextModel,
  ui: Ui,
  opening: readonly ChatMessage[],
  options: ChatTurnOptions,
): Promise<readonly ChatMessage[]> {
  using cache = new TokenCache(speaker.model);
  let answering: AbortController | undefined;
  using questions: Questions = ui.questions('> ', () =>
    answering && !answering.signal.aborted ? answering.abort() : questions.close(),
  );
  /** The chat with the answer, as far as it came; as it was where there is none. */
  const answered = async (messages: readonly ChatMessage[], content: string): Promise<readonly ChatMessage[]> => {
    const asked = [...messages, { role: 'user', content }];
    answering = new AbortController();
    try {
      const signal = AbortSignal.any([answering.signal, ui.signal]);
      const { text: answer, stoppedBy } = await chatTurn(speaker, asked, {
        ...{ ...options, cache, signal },
        onText: (piece) => ui.stream(piece),
      });
      ui.signal.throwIfAborted();
      ui.stream('\n');
      if (stoppedBy === 'length') ui.note('the answer was cut: see `maxTokens`');
      return answer === '' ? messages : [...asked, { role: 'assistant', content: answer }];
    } catch (error) {
      if (!questions.isTerminal || !(error instanceof UserError)) throw error;
      ui.note(error.message);
      return messages;
    } finally {
      answering = undefined;
    }
  };
  if (questions.isTerminal) ui.note(usage);
  let messages = opening;
  for await (const line of questions) {
    const said = line.trim();
    if (said === '/exit') break;
    if (said === '/reset') messages = opening;
    else if (/^\/\w+$/.test(said)) ui.note(said === '/help' ? usage : `there is no ${said}: ${usage}`);
    else if (said !== '') messages = await answered(messages, said);
  }
  ui.signal.throwIfAborted();
  return messages;
}
