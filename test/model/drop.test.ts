/** Dropping on disk: what is written, what is read back, and that it equals dropping by flags. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createBatch, createEngine, type Engine } from '../../src/engine/index.js';
import { openCheckpoint, type ModelSource } from '../../src/checkpoint/index.js';
import { loadModel, type Drops, type LoadedModel, type Model } from '../../src/models/index.js';
import { dropReport, measureDrop, scoreImportance, writeDropped } from '../../src/drop/index.js';
import { evaluateLoss } from '../../src/evaluate/index.js';
import { oracleFolders } from '../support/oracleCases.js';

const cases = oracleFolders().filter(({ name }) => name.startsWith('fixtures/'));

describe.each(cases)('$name', ({ folder }) => {
  let engine: Engine, model: LoadedModel, out: string;
  beforeAll(async () => {
    engine = await createEngine('wasm');
    model = await loadModel(folder, { engine });
    out = await mkdtemp(join(tmpdir(), 'llm-drop-test-'));
  });
  afterEach(() => model.setDrops({ attention: [], mlp: [] }));
  afterAll(async () => {
    await model.close();
    engine.dispose();
    await rm(out, { recursive: true });
  });

  const tokens = Int32Array.from({ length: 17 }, (_, i) => (i * 7) % 60);
  const logits = async (m: Model): Promise<Float32Array> => {
    using _scope = engine.scope();
    return await engine.readFloats(m.logits(m.forward(createBatch([tokens]))));
  };
  const reload = async <T>(path: string, use: (m: LoadedModel) => Promise<T>): Promise<T> => {
    await using m = await loadModel(path, { engine });
    return await use(m);
  };
  const drops: Drops = { attention: [0, 2], mlp: [1] };

  it("a saved drop equals the flags bit for bit, and its loss the flags' loss", async () => {
    await writeDropped(model, drops, join(out, 'saved'));
    model.setDrops(drops);
    const [expected, loss] = [await logits(model), await evaluateLoss(model, [tokens])];
    await reload(join(out, 'saved'), async (saved) => {
      expect(saved.drops).toEqual(drops);
      expect(await logits(saved)).toEqual(expected);
      expect(await evaluateLoss(saved, [tokens])).toEqual(loss);
    });
  });

  it('leaves out the dropped tensors, norms included, and copies the others byte for byte', async () => {
    await writeDropped(model, drops, join(out, 'bytes'));
    await using saved = await openCheckpoint(join(out, 'bytes'));
    const all = async (c: ModelSource, name: string): Promise<string> => {
      const pieces: Buffer[] = [];
      for (const tensor of c.stored(name)) for await (const piece of tensor.read()) pieces.push(Buffer.from(piece));
      return Buffer.concat(pieces).toString('hex');
    };
    const isGone = (name: string): boolean =>
      /layers\.[02]\.(self_attn|input_layernorm)|layers\.1\.(mlp|block_sparse_moe|post_attention_layernorm)/.test(name);
    expect(saved.tensorNames().sort()).toEqual(
      model.source
        .tensorNames()
        .filter((name) => !isGone(name))
        .sort(),
    );
    for (const name of saved.tensorNames()) expect(await all(saved, name), name).toBe(await all(model.source, name));
    expect(saved.config.drop_attn_list).toEqual([0, 2]);
    expect(saved.config.drop_mlp_list).toEqual([1]);
  });

  it('what the config drops is not read from the disk, nor kept in memory or cache', async () => {
    await writeDropped(model, drops, join(out, 'config'), { configOnly: true });
    const text = await readFile(join(out, 'config', 'config.json'), 'utf8');
    const layout = join(out, 'laid-over');
    await writeDropped(model, { attention: [], mlp: [] }, layout);
    await writeFile(join(layout, 'config.json'), text);
    await reload(layout, async (m) => {
      expect(m.drops).toEqual(drops);
      const { before, after } = dropReport(model, drops);
      expect(model.source.bytesRead - m.source.bytesRead).toBeGreaterThanOrEqual(before.bytes - after.bytes);
      // What is left takes what it takes where the modules were loaded and let go.
      model.setDrops(drops);
      model.release();
      expect(m.bytes).toBe(model.bytes);
      model.setDrops({ attention: [], mlp: [] });
      await model.load();
      expect(m.kvBytesPerToken() / model.kvBytesPerToken()).toBeCloseTo(1 / 3, 12);
      expect(m.kvBytesPerToken()).toBe(after.kvBytesPerToken);
    });
  });

  it('reads booleans as the official code saves them', async () => {
    const path = join(out, 'booleans');
    await writeDropped(model, drops, path);
    const config = JSON.parse(await readFile(join(path, 'config.json'), 'utf8')) as object;
    await writeFile(
      join(path, 'config.json'),
      JSON.stringify({ ...config, drop_attn_list: [true, false, true], drop_mlp_list: [1, true, 1] }),
    );
    expect(await reload(path, async (m) => m.drops)).toEqual(drops);
    await writeFile(join(path, 'config.json'), JSON.stringify({ ...config, drop_attn_list: [3], drop_mlp_list: null }));
    await expect(reload(path, async () => undefined)).rejects.toThrow(
      /drop_attn_list of .*config\.json names layer 3, but the model has 3 \(0 to 2\)/,
    );
  });

  it('drops compose: dropping one set and then another equals dropping both', async () => {
    await writeDropped(model, { attention: [0], mlp: [] }, join(out, 'first'));
    await reload(join(out, 'first'), async (first) => {
      const importance = await scoreImportance(first, [tokens]);
      expect(importance.similarity.attention[0]).toBeNull();
      await writeDropped(first, { attention: [2], mlp: [1] }, join(out, 'second'));
    });
    model.setDrops(drops);
    const expected = await logits(model);
    await reload(join(out, 'second'), async (second) => expect(await logits(second)).toEqual(expected));
  });

  it('writes the side files of LLM-Drop', async () => {
    const side = async (name: string, set: Drops, file: string): Promise<unknown> => {
      await writeDropped(model, set, join(out, name), { configOnly: true });
      return JSON.parse(await readFile(join(out, name, file), 'utf8'));
    };
    expect(await side('a', { attention: [1], mlp: [] }, 'reserved_layers.json')).toEqual([0, 2]);
    expect(await side('m', { attention: [], mlp: [2] }, 'reserved_layers.json')).toEqual([0, 1]);
    expect(await side('j', { attention: [1], mlp: [0] }, 'reserved_layers.json')).toEqual([0, 2, 4, 5]);
    expect(await side('b', { attention: [1], mlp: [1] }, 'reserved_layers.json')).toEqual([0, 2]);
    expect(await side('c', { attention: [1], mlp: [1] }, 'layer_mapping.json')).toEqual({ 0: 0, 2: 1 });
  });

  it('a released module can be loaded again, and running without it is an error that says so', async () => {
    const before = await logits(model);
    const bytes = model.bytes;
    model.skip({ attention: [1] });
    expect(model.bytes).toBe(bytes);
    model.release();
    expect(model.bytes).toBeLessThan(bytes);
    model.setDrops({ attention: [], mlp: [] });
    {
      using _scope = engine.scope();
      expect(() => model.forward(createBatch([tokens]))).toThrow('the attention of layer 1 is not loaded');
    }
    await model.layers[1].load();
    expect(model.bytes).toBe(bytes);
    expect(await logits(model)).toEqual(before);
  });

  it('measures a drop and puts the flags back', async () => {
    const rows = [tokens, tokens.map((t) => t + 1)];
    const loss = await measureDrop(model, drops, rows);
    expect(model.drops).toEqual({ attention: [], mlp: [] });
    const before = await evaluateLoss(model, rows);
    model.setDrops(drops);
    const after = await evaluateLoss(model, rows);
    expect(loss).toMatchObject({ rows: 2, before: before.loss, after: after.loss });
    const [a, b] = after.rowLosses.map((of, i) => of - before.rowLosses[i]);
    expect(loss.difference).toBeCloseTo((a + b) / 2, 12);
    // Of two rows: the deviation |a - b| / sqrt(2) over sqrt(2).
    expect(loss.standardError).toBeCloseTo(Math.abs(a - b) / 2, 12);
  });

  it('scoring 64 rows takes no more memory than 8', async () => {
    const peak = async (count: number): Promise<number> => {
      engine.resetPeak();
      await scoreImportance(
        model,
        Array.from({ length: count }, () => tokens),
      );
      return engine.peakBytes;
    };
    expect(await peak(64)).toBeLessThanOrEqual(1.05 * (await peak(8)));
  });
});
