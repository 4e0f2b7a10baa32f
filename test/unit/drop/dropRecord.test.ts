import { describe, expect, it } from 'vitest';
import { dropMethod, methodRecord, type MethodRequest } from '../../../src/drop/index.js';

describe('how modules were chosen', () => {
  it.each<[string, Omit<MethodRequest, 'count'>]>([
    ['scores', { target: 'joint' }],
    ['consecutive', { target: 'block', consecutive: true }],
    ['iterative', { target: 'mlp', iterations: 2 }],
    ['greedy', { target: 'mlp', search: 'greedy-loss' }],
    ['scores', { target: 'attention', metric: 'random', seed: 3 }],
  ])('is called %s of %j', (name, request) =>
    expect(methodRecord(dropMethod({ count: 2, ...request }))).toMatchObject({
      method: name,
      target: request.target,
      count: 2,
    }),
  );

  it('holds all that a method was told', () =>
    expect(
      methodRecord(dropMethod({ target: 'block', count: 2, consecutive: true, compat: 'llm-drop', keep: [0, 1] })),
    ).toEqual({
      method: 'consecutive',
      target: 'block',
      count: 2,
      metric: 'cosine',
      search: 'score',
      iterations: 1,
      compat: 'llm-drop',
      seed: null,
      keepLayers: [0, 1],
    }));

  it('has the metric of a file where the scores came from one', () => {
    const method = dropMethod({ target: 'mlp', count: 1 });
    expect([methodRecord(method).metric, methodRecord(method, 'angular').metric]).toEqual(['cosine', 'angular']);
  });

  it('is nothing where they were named', () => {
    const { method, keepLayers, ...rest } = methodRecord(undefined);
    expect([method, keepLayers, new Set(Object.values(rest))]).toEqual(['lists', [], new Set([null])]);
  });
});
