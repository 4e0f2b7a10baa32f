import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { exportModel, type ExportOptions } from '../../../src/export/index.js';
import { scoreImportance, type LossReport } from '../../../src/drop/index.js';
import { loadModel, type PartialConfig } from '../../../src/models/index.js';
import { workplace, writeRandomFolder } from './randomFolder.js';

const place = workplace();

const llama: PartialConfig = {
  modelType: 'llama',
  vocabSize: 320,
  hiddenSize: 24,
  intermediateSize: 40,
  numHiddenLayers: 4,
  numAttentionHeads: 4,
};
const drops = { attention: [0, 2], mlp: [3] };
const loss: LossReport = { rows: 16, before: 2.5, after: 2.75, difference: 0.25, standardError: 0.03 };

async function card(o: Partial<ExportOptions> & Pick<ExportOptions, 'to'>): Promise<{ text: string; name: string }> {
  const folder = place.folder();
  await writeRandomFolder(folder, llama, { extra: { _name_or_path: 'meta-llama/Llama-9' } });
  const out = o.to === 'gguf' ? `${place.folder('out')}.gguf` : place.folder('out');
  await exportModel(folder, { out, engine: place.engine(), drops, ...o });
  return {
    text: await readFile(o.to === 'gguf' ? out.replace('.gguf', '.md') : join(out, 'README.md'), 'utf8'),
    name: out.split('/').at(-1)!,
  };
}

describe('a model card', () => {
  it('says what the model is, what is missing, and how it is made and run', async () => {
    const { text, name } = await card({ to: 'vllm' });
    expect(text).toContain('base_model: "meta-llama/Llama-9"');
    expect(text).toContain('# Llama-9 without 2 attentions and 1 MLP');
    expect(text).toContain('| attention | 0, 2 |');
    expect(text).toContain('llm-drop drop meta-llama/Llama-9 --drop-attn 0,2 --drop-mlp 3 --out dropped');
    expect(text).toContain(`llm-drop export dropped --to vllm --out ${name}`);
    expect(text).toContain(`vllm serve ./${name} --tensor-parallel-size 2 --trust-remote-code`);
    expect(text).toContain('layer 0 keeps an attention with a zero output projection');
    expect(text).toMatch(/the next token's logits are within 0\.0 of/);
  });

  it('lies beside a GGUF file', async () => {
    const { text, name } = await card({ to: 'gguf', type: 'q8_0' });
    expect(text).toContain(`llama-cli -m ${name}`);
    expect(text).toContain('architecture `deci`');
    expect(text).toContain('--type q8_0');
  });

  it('has transformers read what it can, and zeroing explained', async () => {
    const { text, name } = await card({ to: 'hf', zero: true });
    expect(text).toContain(`AutoModelForCausalLM.from_pretrained("./${name}"`);
    expect(text).toContain('the output projections of the dropped modules are zero');
    expect((await card({ to: 'llm-drop' })).text).toContain('LLM-Drop');
  });

  it('has scores and losses where they are given', async () => {
    const folder = place.folder();
    await writeRandomFolder(folder, llama);
    await using model = await loadModel(folder, { engine: place.engine() });
    const importance = await scoreImportance(model, [Int32Array.of(1, 2, 3, 4)]);
    const { text } = await card({ to: 'llm-drop', importance, report: { loss } });
    expect(text).toContain('over 1 calibration rows of 4 tokens');
    expect(text).toContain(
      `| 0 | **${importance.similarity.attention[0]!.toFixed(4)}** | ${importance.similarity.mlp[0]!.toFixed(4)} |`,
    );
    expect(text).toContain('| difference | 0.2500 ± 0.0300 |');
  });

  it('finds them in the folder', async () => {
    const [folder, out] = [place.folder(), place.folder('out')];
    await writeRandomFolder(folder, llama);
    await writeFile(join(folder, 'drop_report.json'), JSON.stringify({ loss }));
    await exportModel(folder, { to: 'hf', out, engine: place.engine() });
    expect(await readFile(join(out, 'README.md'), 'utf8')).toContain('| after | 2.7500 |');
    // JSON has no infinity, but reads a number that is too large as one.
    for (const wrong of ['{"rows":1}', JSON.stringify(loss).replace('"before":', '"before":1e999,"was":')]) {
      await writeFile(join(folder, 'drop_report.json'), `{"loss":${wrong}}`);
      await expect(exportModel(folder, { to: 'hf', out, overwrite: true, engine: place.engine() })).rejects.toThrow(
        /holds no number before/,
      );
    }
  });
});
