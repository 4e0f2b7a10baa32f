import { UserError, shownValue } from '../engine/index.js';
import type { Variant } from '../serve/index.js';
import { parseLayerList } from './layerList.js';

/** `whole`, or `drop8=--drop-attn:10-17,--drop-mlp:3`: a name, and what is dropped beside what the model drops. */
export function parseVariant(given: string): Variant {
  const [, name, flags = ''] = /^([^=\s]+)(?:=(.*))?$/.exec(given) ?? [];
  const drops = { attention: [] as readonly number[], mlp: [] as readonly number[] };
  for (const part of flags.split(/[\s,]+(?=--)/).filter(Boolean)) {
    const [, kind, layers] = /^--drop-(attn|mlp):(.+)$/.exec(part) ?? [];
    if (!kind) wrong(given);
    drops[kind === 'attn' ? 'attention' : 'mlp'] = parseLayerList(layers, `--variant ${name}: --drop-${kind}`);
  }
  if (!name) wrong(given);
  return { name, drops };
}

function wrong(given: string): never {
  throw new UserError(
    `--variant must be NAME or NAME=--drop-attn:LAYERS,--drop-mlp:LAYERS, found ${shownValue(given)}`,
  );
}
