/**
 * The bytes of a file of `size` that a request's Range header asks for, `end` included (RFC 9110, section 14.1.2).
 * Undefined where it asks for all, or for what is not supported: several ranges, or other units than bytes.
 */
export function byteRange(
  header: string | undefined,
  size: number,
): { readonly start: number; readonly end: number } | 'outside' | undefined {
  const [, from, to] = /^bytes=(\d*)-(\d*)$/.exec(header ?? '') ?? [];
  if (!from && !to) return undefined;
  const start = from ? Number(from) : Math.max(0, size - Number(to));
  const end = from && to ? Math.min(Number(to), size - 1) : size - 1;
  if (from && to && Number(to) < Number(from)) return undefined;
  return start >= size ? 'outside' : { start, end };
}
