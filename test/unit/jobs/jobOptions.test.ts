/** What jobs tell, and what they compute with. */
import { expect, it, vi } from 'vitest';
import { createEngine } from '../../../src/engine/index.js';
import { engineFor, stageOf, type JobProgress } from '../../../src/jobs/jobOptions.js';

it('a stage is told as it begins, and as it goes on', () => {
  const told: JobProgress[] = [];
  const report = stageOf({ onProgress: (progress) => told.push(progress) }, 'scoring');
  report(1, 2, 'rows');
  report(2, 2, 'rows');
  expect(told).toEqual([
    { stage: 'scoring', done: 0, total: 0, unit: '' },
    { stage: 'scoring', done: 1, total: 2, unit: 'rows' },
    { stage: 'scoring', done: 2, total: 2, unit: 'rows' },
  ]);
});

it('a stage ends with the reason of the signal, and what was told last', () => {
  const controller = new AbortController();
  const told: number[] = [];
  const report = stageOf({ signal: controller.signal, onProgress: ({ done }) => told.push(done) }, 'scoring');
  report(1, 3, 'rows');
  controller.abort(Error('enough'));
  expect(() => report(2, 3, 'rows')).toThrow('enough');
  expect(told).toEqual([0, 1]);
});

it('an engine that was given stays, another goes with the job', async () => {
  using engine = await createEngine('reference');
  const given = await engineFor({ engine, backend: 'wasm' });
  const made = await engineFor({ backend: 'reference' });
  expect(given.engine).toBe(engine);
  expect(made.engine).not.toBe(engine);
  const [stays, goes] = [vi.spyOn(engine, 'dispose'), vi.spyOn(made.engine, 'dispose')];
  for (const one of [given, made]) one[Symbol.dispose]();
  expect([stays.mock.calls.length, goes.mock.calls.length]).toEqual([0, 1]);
});
