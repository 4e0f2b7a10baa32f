import { generate as generateTokens } from '../../models/index.js';
import { command, loadOptionsOf } from '../command.js';
import { loadTextModel } from '../../jobs/textModel.js';
import { dropOptions, int, number, requiredText } from '../options.js';
import { provenance } from '../../jobs/provenance.js';
import { TextStream } from '../textStream.js';

export const generate = command('generate', 'Continue a prompt', {
  description: 'Prints the prompt and what follows it as it comes. Without --temperature the likeliest token is taken.',
  options: {
    prompt: requiredText('what to continue'),
    maxTokens: int('tokens to generate at most', 1, 128),
    temperature: number('0 takes the likeliest token, higher is more varied', 0),
    topK: int('choose among the k likeliest tokens', 1),
    topP: number('choose among the likeliest tokens that together reach this probability'),
    seed: int('of the random choice', 0, 0),
    ...dropOptions,
  },
  examples: [
    ['generate models/tiny-stories --prompt "Once upon a time"', 'the likeliest continuation'],
    ['generate Llama-3.2-1B --prompt "The moon" --temperature 0.8 --top-p 0.95 --seed 7', 'a sampled one'],
    ['generate Llama-3.2-1B --prompt "The moon" --drop-attn 10-13', 'without four attentions'],
  ],
  run: async (o, ui) => {
    await using loaded = await loadTextModel(o.model, { ...loadOptionsOf(o), ...ui.job });
    const { model, tokenizer } = loaded;
    // The tokenizer's own post-processing decides whether a beginning-of-text token comes first.
    const prompt = tokenizer.encode(o.prompt, { addSpecialTokens: true });
    const pieces = new TextStream(tokenizer, prompt);
    let text: string | undefined;
    const tell = (piece: string): void => {
      ui.stream(text === undefined ? o.prompt + piece : piece);
      text = (text ?? '') + piece;
    };
    const { tokens, stoppedBy } = await generateTokens(model, prompt, {
      ...o,
      stopTokens: [...new Set([...tokenizer.stopIds, ...model.config.eosTokenIds])],
      onToken: (token) => tell(pieces.push(token)),
      signal: ui.signal,
    });
    tell(pieces.end());
    ui.stream('\n');
    ui.signal.throwIfAborted();
    ui.show(
      { model: o.model, prompt: o.prompt, text, tokens, stoppedBy, drop: model.drops, ...provenance(model) },
      () => [],
    );
  },
});
