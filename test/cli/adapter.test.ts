/** A LoRA adapter, by every command that opens a model. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { tensorOfBytes, writeSafetensors } from '../../src/checkpoint/index.js';
import { document, llmDrop, stories, temporaryFolder, writeModel } from './commandLine.js';

const folder = temporaryFolder();
const text = join(folder, 'stories.txt');
let model: string;

beforeAll(async () => {
  model = await writeModel(join(folder, 'model'));
  writeFileSync(text, stories);
});

describe('--adapter', () => {
  const adapter = join(folder, 'adapter');
  beforeAll(async () => {
    await writeModel(adapter);
    for (const name of ['config.json', 'model.safetensors'])
      renameSync(join(adapter, name), join(adapter, `${name}.not`));
    const config = { peft_type: 'LORA', r: 1, lora_alpha: 2, base_model_name_or_path: 'org/model' };
    writeFileSync(join(adapter, 'adapter_config.json'), JSON.stringify(config));
    const factor = (part: string, shape: [number, number]): ReturnType<typeof tensorOfBytes> =>
      tensorOfBytes(
        `base_model.model.model.layers.1.mlp.down_proj.lora_${part}.weight`,
        'F32',
        shape,
        new Uint8Array(new Float32Array(shape[0] * shape[1]).fill(0.5).buffer),
      );
    await writeSafetensors(join(adapter, 'adapter_model.safetensors'), [factor('A', [1, 24]), factor('B', [16, 1])]);
  });

  it('is merged by every command that opens a model', async () => {
    const losses = async (...more: string[]): Promise<number> =>
      (await document('eval', ...more, '--text', text, '--held-out', '3', '--length', '32')).loss as number;
    const [plain, merged] = [await losses(model), await losses(model, '--adapter', adapter)];
    expect(merged).not.toBe(plain);
    const { stdout, stderr } = await llmDrop(['inspect', model, '--adapter', adapter]);
    expect(stdout).toContain('parameters');
    expect(stderr).toContain(`note: the LoRA adapter ${adapter} is merged into 1 weight\n`);
    const out = (name: string): string => join(folder, `merged-${name}`);
    const recipe = join(folder, 'export.json');
    writeFileSync(recipe, JSON.stringify({ export: [{ to: 'llm-drop' }] }));
    const with_ = ['--adapter', adapter];
    await document('export', model, ...with_, '--to', 'llm-drop', '--out', out('export'));
    await document('compress', model, ...with_, '--recipe', recipe, '--out', out('compress'));
    for (const written of [out('export'), join(out('compress'), 'exports', 'llm-drop')])
      expect(await losses(written)).toBe(merged);
    await document('drop', model, ...with_, '--drop-attn', '3', '--out', out('drop'));
    expect(await losses(out('drop'))).toBe(await losses(model, ...with_, '--drop-attn', '3'));
    // The dropped model has the adapter already, so it goes to the whole one.
    const calibration = ['--calibration', text, '--samples', '4', '--length', '32'];
    const refit = await document(
      'compensate',
      out('drop'),
      '--base',
      model,
      ...with_,
      ...calibration,
      '--out',
      out('refit'),
    );
    const [{ whole }] = (refit.compensation as { losses: { whole: number }[] }).losses;
    const again = await document(
      'compensate',
      out('drop'),
      '--base',
      out('export'),
      ...calibration,
      '--out',
      out('again'),
    );
    expect((again.compensation as { losses: { whole: number }[] }).losses[0].whole).toBe(whole);
    expect(readFileSync(join(folder, 'merged-export', 'README.md'), 'utf8')).toContain('## What was merged');
  });

  it('in place of a model is told of by its base', async () => {
    const { code, stderr } = await llmDrop(['eval', adapter, '--text', text]);
    expect([code, stderr]).toEqual([
      1,
      `error: ${adapter} is not a model, but an adapter for one, of the model "org/model" (give that model, and the adapter with --adapter ${adapter})\n`,
    ]);
  });
});
