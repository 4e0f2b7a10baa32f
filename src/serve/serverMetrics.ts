import { Metrics, type Labels } from './metrics.js';
import type { SchedulerOptions, Scheduler } from './scheduler.js';

/** Seconds: of a token, and of all before the first. */
const seconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** What `/metrics` tells. */
export class ServerMetrics {
  readonly #metrics = new Metrics();
  readonly #schedulers = new Map<string, Scheduler>();
  readonly answered = this.#metrics.counter('llm_drop_requests_total', 'Requests by route and status.');
  readonly #prompt = this.#metrics.counter('llm_drop_prompt_tokens_total', 'Tokens of prompts.');
  readonly #reused = this.#metrics.counter('llm_drop_reused_tokens_total', 'Of these, those found in the cache.');
  readonly #made = this.#metrics.counter('llm_drop_generated_tokens_total', 'Tokens made.');
  readonly #steps = this.#metrics.counter('llm_drop_steps_total', 'Passes of the model.');
  readonly #stepTokens = this.#metrics.counter('llm_drop_step_tokens_total', 'Tokens that ran in them.');
  readonly #first = this.#metrics.histogram(
    'llm_drop_time_to_first_token_seconds',
    'From the queue to the first token.',
    seconds,
  );
  readonly #between = this.#metrics.histogram(
    'llm_drop_time_between_tokens_seconds',
    'Between two tokens of a text.',
    seconds,
  );

  constructor() {
    const gauge = (name: string, help: string, read: (scheduler: Scheduler) => number): void =>
      this.#metrics.gauge(name, help, () =>
        [...this.#schedulers].map(([model, scheduler]) => [{ model }, read(scheduler)] as const),
      );
    gauge('llm_drop_slots', 'Texts that can run at the same time.', ({ slots }) => slots);
    gauge('llm_drop_slots_busy', 'Texts that run.', ({ busy }) => busy);
    gauge('llm_drop_queue_length', 'Texts that wait for a slot.', ({ waiting }) => waiting);
    this.#metrics.gauge('process_resident_memory_bytes', 'Memory of the process.', () => [
      [{}, process.memoryUsage.rss()],
    ]);
  }

  /** What a variant's scheduler is to tell. */
  watch(model: string): Pick<SchedulerOptions, 'onStep' | 'onToken' | 'onEnd'> {
    const labels: Labels = { model };
    return {
      onStep: ({ tokens }) => {
        this.#steps(labels);
        this.#stepTokens(labels, tokens);
      },
      onToken: (since, isFirst) => (isFirst ? this.#first : this.#between)(labels, since),
      onEnd: ({ prompt, reused, made }) => {
        this.#prompt(labels, prompt);
        this.#reused(labels, reused);
        this.#made(labels, made);
      },
    };
  }

  /** Whose slots and queue are told. */
  add(model: string, scheduler: Scheduler): void {
    this.#schedulers.set(model, scheduler);
  }

  text(): string {
    return this.#metrics.text();
  }
}
