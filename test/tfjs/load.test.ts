import { describe, expect, it } from 'vitest';
import { createEngine, UserError } from '../../src/engine/index.js';
import { loadTfjs } from '../../src/engine/tfjs/load.js';
import { createTfjsBackend } from '../../src/engine/tfjs/tfjsBackend.js';

const none = (): boolean => false;
const only =
  (...names: string[]) =>
  (name: string): boolean =>
    names.includes(name);

describe('loading TensorFlow.js', () => {
  it('says what to install where nothing is', async () => {
    await expect(loadTfjs(undefined, undefined, none)).rejects.toThrow(UserError);
    await expect(loadTfjs(undefined, undefined, none)).rejects.toThrow(
      'the tfjs backend needs TensorFlow.js: run npm install @tensorflow/tfjs-node',
    );
  });

  it('says what to install for a choice', async () => {
    await expect(loadTfjs('wasm', undefined, only('@tensorflow/tfjs-core'))).rejects.toThrow(
      "the tfjs backend with 'wasm' needs TensorFlow.js: run npm install @tensorflow/tfjs-core @tensorflow/tfjs-backend-wasm",
    );
  });

  it('refuses a choice that it does not know', async () => {
    await expect(createTfjsBackend({ tfjs: 'webgl' })).rejects.toThrow(
      "there is no TensorFlow.js backend 'webgl' (choose one of node-gpu, node, wasm, cpu)",
    );
  });

  it('names the cause where an installed binding does not load', async () => {
    const missing = '@tensorflow/tfjs-node';
    const failed = await loadTfjs('node', undefined, only(missing)).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(UserError);
    expect((failed as UserError).message).toMatch(
      /^@tensorflow\/tfjs-node is installed, but it fails to load: .*@tensorflow\/tfjs-node/,
    );
    expect((failed as UserError).cause).toBeInstanceOf(Error);
  });

  it('is told which by the name of a backend', async () => {
    using engine = await createEngine('tfjs:cpu');
    expect(engine.backend.abilities.package).toBe('@tensorflow/tfjs-backend-cpu');
    await expect(createEngine('tfjs:webgl' as 'tfjs:cpu')).rejects.toThrow(
      "there is no backend 'tfjs:webgl' (choose one of reference, wasm, tfjs, webgpu, tfjs:node-gpu, tfjs:node, tfjs:wasm, tfjs:cpu",
    );
    await expect(createEngine('tfjs:cpu', { tfjs: 'wasm' })).rejects.toThrow(
      "the backend 'tfjs:cpu' does not go with the option `tfjs` 'wasm'",
    );
  });

  it('takes the first that is installed', async () => {
    const loaded = await loadTfjs(undefined, undefined, only('@tensorflow/tfjs-core', '@tensorflow/tfjs-backend-cpu'));
    expect(loaded).toMatchObject({
      registered: 'cpu',
      package: '@tensorflow/tfjs-backend-cpu',
      threads: 1,
      gpu: false,
    });
  });
});
