import { describe, expect, it } from 'vitest';
import { backendChoices } from '../../src/engine/index.js';
import { llmDrop } from './commandLine.js';

interface Report {
  readonly node: string;
  readonly cores: number;
  readonly memory: number;
  readonly packages: Readonly<Record<string, string | null>>;
  readonly backends: readonly {
    readonly backend: string;
    readonly abilities?: Readonly<Record<string, string | number | boolean>>;
    readonly problem?: string;
  }[];
  readonly advice: readonly string[];
}

const report = async (): Promise<Report> => {
  const { code, stdout } = await llmDrop(['doctor', '--json', '--threads', '1']);
  expect(code).toBe(0);
  return JSON.parse(stdout) as Report;
};

describe('doctor', () => {
  it('starts every backend, or says why it does not start', async () => {
    const { node, cores, memory, packages, backends } = await report();
    expect(node).toBe(process.versions.node);
    expect(cores).toBeGreaterThan(0);
    expect(memory).toBeGreaterThan(2 ** 28);
    expect(packages['@tensorflow/tfjs-core']).toMatch(/^4\./);
    expect(backends.map(({ backend }) => backend)).toEqual(
      backendChoices.filter((one) => one !== 'reference' && one !== 'tfjs'),
    );
    for (const { abilities, problem } of backends) expect(Boolean(abilities)).toBe(problem === undefined);
    const by = Object.fromEntries(backends.map((one) => [one.backend, one]));
    expect(by.wasm.abilities).toMatchObject({ threads: 1 });
    expect(by.wasm.abilities?.why).toMatch(/V8|LLM_DROP_WASM_TIER/);
    expect(by['tfjs:cpu'].abilities).toMatchObject({ package: '@tensorflow/tfjs-backend-cpu', gpu: false });
    if (packages['@tensorflow/tfjs-node'] === null)
      expect(by['tfjs:node'].problem).toContain('npm install @tensorflow/tfjs-node');
  });

  it('tells people the same', async () => {
    const { advice } = await report();
    const { code, stdout } = await llmDrop(['doctor', '--threads', '1']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^wasm +(revectorized|relaxed|baseline), 1 thread, why /m);
    for (const line of advice) expect(stdout).toContain(`- ${line}`);
  });

  it('takes no argument', async () => {
    const { code, stderr } = await llmDrop(['doctor', 'models']);
    expect(code).toBe(1);
    expect(stderr).toContain("too many arguments for 'doctor'");
  });
});
