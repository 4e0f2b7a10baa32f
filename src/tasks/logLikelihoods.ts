import { host } from '../engine/hosts/index.js';
import type { Tensor } from '../engine/index.js';
import { likeliestTokens } from '../evaluate/index.js';
import { notFinite, type Model } from '../models/index.js';
import type { TokenRequest } from './requests.js';
import { Slots, type OnPass } from './slots.js';

/** Of a continuation, in nats, and whether each of its tokens is the likeliest. */
export interface LogLikelihood {
  readonly sum: number;
  readonly greedy: boolean;
}

export interface LogLikelihoodOptions {
  /** Whether `greedy` is asked for, which takes logits of the whole vocabulary; else it is false. */
  readonly greedy?: boolean;
  /** Told the log-likelihoods of a group's requests, by its place. */
  readonly onGroup: (group: number, found: readonly LogLikelihood[]) => Promise<void>;
  readonly signal?: AbortSignal;
}

/** The requests of one question, of which what they begin with runs once. */
interface Group {
  readonly place: number;
  readonly requests: readonly Scored[];
  /** Tokens that all of them begin with. */
  readonly shared: readonly number[];
}

/** A request while its log-likelihood is summed. */
interface Scored {
  /** All but the last, which predicts nothing. */
  readonly input: readonly number[];
  /** What follows each of these. */
  readonly next: readonly number[];
  /** The place whose next token is the continuation's first. */
  readonly from: number;
  sum: number;
  greedy: boolean;
}

/**
 * The log-likelihoods of groups of requests that begin alike, such as a question's choices: what they share runs once,
 * all questions in slots side by side, the longest first; then their first choices, their second ones, and so on. What
 * does not fit in the model's context is cut off at the beginning. NotFiniteError where one is no number.
 */
export async function logLikelihoods(
  model: Model,
  groups: readonly (readonly TokenRequest[])[],
  { greedy = false, onGroup, signal }: LogLikelihoodOptions,
): Promise<void> {
  const context = model.config.maxPositionEmbeddings;
  const most = Math.min(
    context,
    groups.flat().reduce((longest, { tokens }) => Math.max(longest, tokens.length), 1),
  );
  // Where rotary angles change with the length of the text, texts share nothing.
  const shares = model.keepsAngles(1, most);
  const sorted = groups
    .map((requests, place) => groupOf(requests, place, { context, shares }))
    .sort((a, b) => longest(b) - longest(a));
  for (const alike of byCapacity(sorted)) {
    using slots = new Slots(model, longest(alike[0]), alike.length);
    for (let first = 0; first < alike.length; first += slots.count) {
      const wave = alike.slice(first, first + slots.count);
      await scoreWave(model, slots, wave, { greedy, signal });
      for (const { place, requests } of wave)
        await onGroup(
          place,
          requests.map(({ sum, greedy: all }) => ({ sum, greedy: greedy && all })),
        );
      await host.nextTurn(); // lets timers, signals and progress have their turn
    }
  }
}

/** A slot for each question of a wave. */
async function scoreWave(
  model: Model,
  slots: Slots,
  wave: readonly Group[],
  { greedy, signal }: { readonly greedy: boolean; readonly signal?: AbortSignal },
): Promise<void> {
  const onPass: OnPass<{ start: number; requests: readonly Scored[] }> = async (hidden, runs) => {
    const wanted = runs.flatMap(({ row, tokens, of: { start, requests } }) =>
      requests.flatMap((request) =>
        places(request, start, tokens.length).map((at) => ({ row: row + at - start, at, request })),
      ),
    );
    await addUp(model, hidden, wanted, greedy);
  };
  const shared = wave.map(({ shared: tokens, requests }, slot) => {
    const start = slots.keep(slot, tokens, Math.min(...requests.map(({ from }) => from)));
    return { slot, tokens: tokens.slice(start), of: { start, requests } };
  });
  await slots.run(shared, onPass, signal);
  const most = Math.max(...wave.map(({ requests }) => requests.length));
  for (let choice = 0; choice < most; choice++) {
    const rest = wave.flatMap(({ shared: tokens, requests }, slot) => {
      const request = requests.at(choice);
      if (!request) return [];
      const start = slots.keep(slot, tokens, tokens.length);
      return { slot, tokens: request.input.slice(start), of: { start, requests: [request] } };
    });
    await slots.run(rest, onPass, signal);
  }
}

/** Of the places of a run, those whose next token is the continuation's. */
function places({ from, input }: Scored, start: number, length: number): number[] {
  const first = Math.max(from, start);
  const end = Math.min(start + length, input.length);
  return Array.from({ length: Math.max(0, end - first) }, (_, i) => first + i);
}

/** A row of hidden states, and whose token at a place it predicts. */
interface Wanted {
  readonly row: number;
  readonly at: number;
  readonly request: Scored;
}

async function addUp(model: Model, hidden: Tensor, wanted: readonly Wanted[], greedy: boolean): Promise<void> {
  if (wanted.length === 0) return;
  const { engine } = model;
  const asking = engine.gather(
    hidden,
    Int32Array.from(wanted, ({ row }) => row),
  );
  const targets = Int32Array.from(wanted, ({ at, request }) => request.next[at]);
  const losses = await engine.readFloats(model.losses(asking, targets));
  const likeliest = greedy ? await likeliestTokens(model, asking) : undefined;
  for (const [i, { request }] of wanted.entries()) {
    if (!Number.isFinite(losses[i])) throw await notFinite(model, request.input, 'a log-likelihood');
    request.sum -= losses[i];
    if (likeliest && likeliest[i] !== targets[i]) request.greedy = false;
  }
}

function groupOf(
  requests: readonly TokenRequest[],
  place: number,
  { context, shares }: { readonly context: number; readonly shares: boolean },
): Group {
  const scored = requests.map(({ tokens, from }): Scored => {
    const cut = Math.max(0, tokens.length - context - 1);
    const kept = tokens.slice(cut);
    return { input: kept.slice(0, -1), next: kept.slice(1), from: Math.max(0, from - cut - 1), sum: 0, greedy: true };
  });
  const [{ input }] = scored;
  if (!shares) return { place, requests: scored, shared: [] };
  const differs = input.findIndex((token, i) => scored.some((other) => other.input[i] !== token));
  return { place, requests: scored, shared: differs < 0 ? input : input.slice(0, differs) };
}

const longest = ({ requests }: Group): number => Math.max(...requests.map(({ input }) => input.length));

/** Groups from long to short, parted where half the room would do. */
function* byCapacity(sorted: readonly Group[]): Generator<readonly Group[]> {
  for (let first = 0; first < sorted.length;) {
    const half = longest(sorted[first]) / 2;
    const shorter = sorted.findIndex((group, i) => i > first && longest(group) <= half);
    const end = shorter < 0 ? sorted.length : shorter;
    yield sorted.slice(first, end);
    first = end;
  }
}
