import type { JsonObject } from '../jsonFile.js';
import { fromBase64 } from './base64.js';
import { CharacterMap } from './characterMap.js';
import type { LibraryNormalizer } from './library.js';

/** Changes a text before it is cut. */
export type Normalizer = (text: string) => string;

/** The `normalizer` of a `tokenizer.json`; `library` is the same, which puts a prefix before a text that is empty too. */
export function normalizerOf(json: JsonObject | null | undefined, library: LibraryNormalizer | null): Normalizer {
  if (!json || !library) return (text) => text;
  switch (json.type) {
    case 'Sequence': {
      const steps = (json.normalizers as JsonObject[]).map((step, i) => normalizerOf(step, library.normalizers[i]));
      return (text) => steps.reduce((changed, step) => step(changed), text);
    }
    case 'Prepend':
      return (text) => (text ? `${json.prepend as string}${text}` : text);
    case 'Precompiled': {
      // The library takes any such table for NFKC.
      const table = json.precompiled_charsmap as string | null | undefined;
      if (!table) return (text) => text;
      const characters = new CharacterMap(fromBase64(table));
      return (text) => characters.normalize(text);
    }
    default:
      return (text) => library.normalize(text);
  }
}
