/** What often stands in place of a file of weights or of JSON, by how it begins, and what to do about it. */
const kinds: readonly (readonly [begins: RegExp | string, what: string, hint?: string])[] = [
  [
    /^version https?:\/\/(git-lfs|hawser)/,
    'a pointer of git-lfs, not the file itself',
    'git lfs pull in its folder fetches it',
  ],
  [/^\s*<(!doctype|!--|html|head|body|\?xml)/i, 'a web page, not the file', 'did the server refuse the download?'],
  ['PK\x03\x04', 'a zip archive, as PyTorch saves weights', 'save the weights as safetensors'],
  ['\x80\x02', 'a Python pickle, as PyTorch saves weights', 'save the weights as safetensors'],
  ['\x1f\x8b', 'compressed by gzip', 'unpack it'],
  ['GGUF', 'a GGUF file'],
];

/** Bytes that tell. */
export const telling = 64;

/**
 * What a file that is not what was expected is instead, e.g. `a pointer of git-lfs, not the file itself`; undefined where
 * nothing is known. A file that is what was expected may begin like one of these.
 */
export function otherKind(begin: Uint8Array | string): { readonly what: string; readonly hint?: string } | undefined {
  const text = typeof begin === 'string' ? begin.slice(0, telling) : latin1(begin);
  const found = kinds.find(([begins]) => (typeof begins === 'string' ? text.startsWith(begins) : begins.test(text)));
  if (found) return { what: found[1], hint: found[2] };
  const isText = typeof begin !== 'string' && /^[\t\n\r\x20-\x7e]{8}/.test(text);
  return isText ? { what: `a text, which begins with ${JSON.stringify(text.slice(0, 40))}` } : undefined;
}

const latin1 = (bytes: Uint8Array): string => String.fromCharCode(...bytes.subarray(0, telling));
