import { describe, expect, it } from 'vitest';
import { byteRange } from '../../../src/play/byteRange.js';

describe('the range that a request asks for', () => {
  it.each([
    [undefined, undefined],
    ['bytes=0-0', { start: 0, end: 0 }],
    ['bytes=2-5', { start: 2, end: 5 }],
    ['bytes=4-', { start: 4, end: 9 }],
    ['bytes=-3', { start: 7, end: 9 }],
    ['bytes=-30', { start: 0, end: 9 }],
    ['bytes=8-100', { start: 8, end: 9 }],
    ['bytes=10-', 'outside'],
    // RFC 9110: what makes no sense is as if it were not there.
    ['bytes=5-2', undefined],
    ['bytes=-', undefined],
    ['bytes=0-1,3-4', undefined],
    ['lines=0-1', undefined],
  ])('%s of ten bytes', (header, expected) => {
    expect(byteRange(header, 10)).toEqual(expected);
  });

  it('is outside of an empty file', () => {
    expect(byteRange('bytes=0-0', 0)).toBe('outside');
  });
});
