import { claimOutputs, tensorOfBytes, writeSafetensors } from '../../checkpoint/index.js';
import { UserError } from '../../engine/index.js';
import { computeLogits } from '../../evaluate/index.js';
import { loadModel } from '../../models/index.js';
import { command, loadOptionsOf } from '../command.js';
import { readJson } from '../../jobs/jsonFiles.js';
import { dropOptions, requiredText } from '../options.js';
import { provenance } from '../../jobs/provenance.js';

export const logits = command('logits', 'Write the logits of given tokens, for comparing engines', {
  description:
    'The tokens are JSON, [[id, ...], ...], all lists of one length. The file holds one tensor `logits`, float32 [batch, time, vocabulary].',
  options: {
    tokens: requiredText('JSON file of token ids', 'file'),
    out: requiredText('.safetensors file to write', 'file'),
    ...dropOptions,
  },
  examples: [
    ['logits Llama-3.2-1B --tokens tokens.json --out logits.safetensors', 'of the model as it is'],
    ['logits Llama-3.2-1B --tokens tokens.json --out logits.safetensors --drop-mlp 3', 'without one MLP'],
  ],
  run: async (o, ui) => {
    await using _claim = await claimOutputs({
      reads: [o.model, o.tokens],
      writes: [{ path: o.out, kind: 'file', overwrite: true }],
    });
    const sequences = tokenLists(await readJson(o.tokens), o.tokens);
    await using model = await loadModel(o.model, {
      ...loadOptionsOf(o),
      onProgress: ui.progress('loading'),
    });
    model.notes.forEach((note) => ui.note(note));
    const { shape, logits: values } = await computeLogits(model, sequences, {
      onProgress: ui.progress('computing'),
      signal: ui.signal,
    });
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    await writeSafetensors(o.out, [tensorOfBytes('logits', 'F32', shape, bytes)]);
    ui.show({ model: o.model, out: o.out, shape, drop: model.drops, ...provenance(model) }, (r) => [
      `${r.out}: logits [${r.shape.join(', ')}], float32`,
    ]);
  },
});

function tokenLists(value: unknown, path: string): number[][] {
  const isIds = (list: unknown): list is number[] =>
    Array.isArray(list) && list.length > 0 && list.every((id) => Number.isInteger(id) && id >= 0);
  if (!Array.isArray(value) || value.length === 0 || !value.every(isIds))
    throw new UserError(`${path} must hold lists of token ids`, { hint: 'such as [[1, 15, 7], [1, 9, 4]]' });
  const other = value.findIndex(({ length }) => length !== value[0].length);
  if (other > 0)
    throw new UserError(
      `${path}: all lists must be of one length, but list 0 has ${value[0].length} ids and list ${other} has ${value[other].length}`,
    );
  return value;
}
