import { host } from '../engine/hosts/index.js';
import { UserError, checkOptions, whole, type KvCache } from '../engine/index.js';
import { checkedTokens, contextOf, type Drops, type Model } from '../models/index.js';
import { admit } from './admission.js';
import { Sequence, type ChosenToken, type SequenceRequest, type SequenceResult } from './sequence.js';
import { Slot } from './slot.js';
import { runStep, type Run } from './step.js';
import { planStep } from './stepPlan.js';

export interface SchedulerOptions {
  /** Texts that run at the same time. @defaultValue 16 */
  readonly slots?: number;
  /** Tokens of a text at most, its prompt and what is made. @defaultValue the model's context, at most 2048 */
  readonly context?: number;
  /** Texts that wait for a slot at most. @defaultValue 1024 */
  readonly queue?: number;
  /** Tokens that run in a step, but for those of texts that decode: these always run. @defaultValue 256 */
  readonly stepTokens?: number;
  /** What the model skips while it runs for this scheduler. @defaultValue what it skips now */
  readonly drops?: Drops;
  /** Told of each step. */
  readonly onStep?: (step: StepRecord) => void;
  /** Told of each token: the seconds since the one before or, of a text's first, since it came. */
  readonly onToken?: (seconds: number, isFirst: boolean) => void;
  /** Told of each text at its end, in tokens. */
  readonly onEnd?: (text: { readonly prompt: number; readonly reused: number; readonly made: number }) => void;
}

export interface StepRecord {
  readonly sequences: number;
  readonly tokens: number;
  readonly seconds: number;
}

/** The queue is full: a server answers 429. */
export class QueueFullError extends Error {}

/** A scheduler that ends takes no more texts. */
export class ClosingError extends Error {}

/**
 * Runs many texts at the same time. A step is one pass over some tokens of each: chunks of prompts, and single tokens of
 * texts that are being made. A text has a slot of the key-value cache while it runs; its keys and values stay until the
 * slot is taken, so that a text that begins alike need not run from its start. Others may use the model's engine between
 * steps, another scheduler with other drops too. To be closed.
 */
export class Scheduler implements AsyncDisposable {
  readonly context: number;
  readonly #cache: KvCache;
  readonly #slots: readonly Slot[];
  readonly #queue: Sequence[] = [];
  /** Texts that run and wait at most. */
  readonly #most: number;
  readonly #drops: Drops;
  readonly #stepTokens: number;
  readonly #told: Pick<SchedulerOptions, 'onStep' | 'onToken' | 'onEnd'>;
  #admissions = 0;
  #closing = false;
  #running: Promise<void> | undefined;

  constructor(
    readonly model: Model,
    options: SchedulerOptions = {},
  ) {
    checkOptions(options, { slots: whole(1), context: whole(2), queue: whole(1), stepTokens: whole(1) });
    const most = contextOf(model);
    const { slots = 16, context = Math.min(most, 2048), queue = 1024, stepTokens = 256, drops = model.drops } = options;
    if (context > most) throw new UserError(`\`context\` is ${context} tokens, but the model's is ${most}`);
    this.context = context;
    this.#most = slots + queue;
    this.#drops = drops;
    this.#stepTokens = stepTokens;
    this.#told = options;
    model.setDrops(drops);
    this.#cache = model.createCache({ slots, capacity: context });
    this.#slots = Array.from({ length: slots }, (_, index) => new Slot(index));
  }

  get slots(): number {
    return this.#slots.length;
  }

  /** Slots that work for a text. */
  get busy(): number {
    return this.#slots.filter(({ sequence }) => sequence).length;
  }

  /** Texts that wait for a slot. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** Bytes of the key-value cache. */
  get cacheBytes(): number {
    return this.#cache.bytes;
  }

  /**
   * Throws what `run` would reject with, before it has begun, for `n` texts of each of several prompts: a UserError where
   * a prompt is none or is too long, a QueueFullError where too many wait, a ClosingError at the end.
   */
  check(prompts: readonly (readonly number[])[], n: number, maxTokens: number): void {
    for (const [i, prompt] of prompts.entries()) {
      const name = prompts.length > 1 ? `prompt[${i}]` : 'prompt';
      if (prompt.length === 0) throw new UserError(`${name} has no token: give at least one`);
      checkedTokens(this.model, prompt, name);
      if (prompt.length + Math.min(maxTokens, 1) > this.context)
        throw new UserError(
          `${name} has ${prompt.length} tokens, but the context is ${this.context} with what is made`,
        );
    }
    if (this.#closing) throw new ClosingError('the server is about to end');
    const texts = n * prompts.length;
    const most = this.#most;
    if (texts > most) throw new UserError(`a request may be of ${most} texts at most, and this one is of ${texts}`);
    if (this.busy + this.waiting + texts > most)
      throw new QueueFullError(`${this.waiting} texts wait already: ask again later`);
  }

  /**
   * Continues a text, as `generate` would, within the context. Rejects as `check` throws, and with a NotFiniteError where
   * a logit is no number.
   */
  async run(request: SequenceRequest): Promise<SequenceResult> {
    const { prompt } = request;
    this.check([prompt], 1, request.maxTokens);
    const maxTokens = Math.min(request.maxTokens, this.context - prompt.length);
    let since = performance.now();
    let made = 0;
    const onToken = (token: ChosenToken): void => {
      const now = performance.now();
      this.#told.onToken?.((now - since) / 1000, made++ === 0);
      since = now;
      request.onToken?.(token);
    };
    const sequence = new Sequence({ ...request, maxTokens, onToken });
    if (sequence.tokensLeft === 0 && !request.scorePrompt) sequence.end('length');
    else {
      this.#queue.push(sequence);
      this.#running ??= this.#steps();
    }
    const result = await sequence.result;
    this.#told.onEnd?.({ prompt: prompt.length, reused: result.reused, made });
    return result;
  }

  /** Takes no more texts, waits for those under way, and frees the cache. */
  async close(): Promise<void> {
    this.#closing = true;
    await this.#running;
    this.#cache.dispose();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Steps until there is nothing to do. */
  async #steps(): Promise<void> {
    await host.nextTurn(); // what comes at the same time runs in the same step
    while (this.#take()) {
      await this.#step();
      await host.nextTurn();
    }
    this.#running = undefined;
  }

  /** Frees slots, and gives them to those that wait. False where nothing is to be done. */
  #take(): boolean {
    for (const slot of this.#slots) {
      if (slot.sequence?.isCancelled && !slot.sequence.isDone) slot.sequence.end('signal');
      if (slot.sequence?.isDone) slot.sequence = undefined;
    }
    for (const sequence of this.#queue.filter(({ isCancelled }) => isCancelled)) {
      sequence.end('signal');
      this.#queue.splice(this.#queue.indexOf(sequence), 1);
    }
    const admitted = admit(
      this.#queue,
      this.#slots,
      // Keys that are turned for a text of another length are of no use.
      (slot, { text }) => this.model.keepsAngles(slot.tokens.length, text.length),
    );
    for (const { sequence, slot, reused } of admitted) {
      const place = this.#queue.indexOf(sequence);
      this.#queue.splice(place, 1);
      for (const passed of this.#queue.slice(0, place)) passed.passedOver++;
      slot.take(sequence, reused);
      slot.usedAt = ++this.#admissions;
      this.#cache.truncate(slot.index, reused);
    }
    return this.#slots.some(({ sequence }) => sequence);
  }

  #clear(slot: Slot): void {
    slot.truncate(0);
    this.#cache.truncate(slot.index);
  }

  async #step(): Promise<void> {
    const begun = performance.now();
    const runs = await this.model.engine.exclusive(async () => {
      this.model.setDrops(this.#drops);
      const planned = this.#plan();
      try {
        await runStep(this.model, this.#cache, planned);
      } catch (error) {
        for (const { slot, sequence } of planned) {
          this.#clear(slot);
          if (!sequence.isDone) sequence.fail(error);
        }
      }
      return planned;
    });
    const tokens = runs.reduce((sum, run) => sum + run.tokens.length, 0);
    this.#told.onStep?.({ sequences: runs.length, tokens, seconds: (performance.now() - begun) / 1000 });
  }

  /** What runs in the next step. */
  #plan(): Run[] {
    const working = this.#slots.flatMap((slot) => (slot.sequence ? [{ slot, sequence: slot.sequence }] : []));
    const pending = working.map(({ slot, sequence: { text } }) => {
      // Where angles change with the text's length, all its keys are turned anew, in one pass.
      if (!this.model.keepsAngles(slot.tokens.length, text.length)) this.#clear(slot);
      const tokens = text.length - slot.tokens.length;
      return { tokens, divisible: this.model.keepsAngles(slot.tokens.length + 1, text.length) };
    });
    const counts = planStep(pending, this.#stepTokens);
    return working.flatMap(({ slot, sequence }, i) => {
      const start = slot.tokens.length;
      return counts[i] ? [{ slot, sequence, start, tokens: sequence.text.slice(start, start + counts[i]) }] : [];
    });
  }
}
