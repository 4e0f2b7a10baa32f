/** What often stands in place of a file of weights or of JSON, by how it begins, and what to do about it. */
const kinds: readonly (readonly [begins: RegExp, what: string, hint?: string])[] = [
  [
    /^version https?:\/\/(git-lfs|hawser)/,
    'a pointer of git-lfs, not the file itself',
    'git lfs pull in its folder fetches it',
  ],
  [/^\s*<(!doctype|!--|html|head|body|\?xml)/i, 'a web page, not the file', 'did the server refuse the download?'],
  [/^PK\x03\x04/, 'a zip archive, as PyTorch saves weights', 'save the weights as safetensors'],
  [/^\x80[\x02-\x05]/, 'a Python pickle, as PyTorch saves weights', 'save the weights as safetensors'],
  [/^\x1f\x8b/, 'compressed by gzip', 'unpack it'],
  [/^GGUF/, 'a GGUF file'],
];

/** Bytes that tell. */
export const telling = 64;

/** What a file is instead of what was expected, e.g. `a pointer of git-lfs, not the file itself`; undefined where nothing is known. */
export function otherKind(begin: Uint8Array | string): { readonly what: string; readonly hint?: string } | undefined {
  const text = typeof begin === 'string' ? begin.slice(0, telling) : latin1(begin.subarray(0, telling));
  const found = kinds.find(([begins]) => begins.test(text));
  if (found) return { what: found[1], hint: found[2] };
  return undefined;
}

/** The beginning of a file as text, where its first eight bytes are: no length of anything, then. */
export function asText(begin: Uint8Array): string | undefined {
  const text = latin1(begin.subarray(0, telling));
  return /^[\t\n\r\x20-\x7e]{8}/.test(text) ? text.replace(/[^\x20-\x7e]+/g, ' ').slice(0, 40) : undefined;
}

const latin1 = (bytes: Uint8Array): string => String.fromCharCode(...bytes);
