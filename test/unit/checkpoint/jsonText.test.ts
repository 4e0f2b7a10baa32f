import { describe, expect, it } from 'vitest';
import { formatJson, parseJson } from '../../../src/checkpoint/jsonText.js';

describe('formatJson', () => {
  it('keeps floats that are whole numbers floats, and integers integers', () => {
    const text =
      '{"jitter": 0.0, "theta": 1e6, "layers": 12, "eps": 1e-06, "rope": {"factor": 8.0, "context": 32}, "name": "1.0"}';
    const config = parseJson(text) as Record<string, unknown>;
    expect(formatJson({ ...config, layers: 11, drop_attn_list: [0, 2] }, config)).toBe(
      [
        '{',
        '  "jitter": 0.0,',
        '  "theta": 1000000.0,',
        '  "layers": 11,',
        '  "eps": 0.000001,',
        '  "rope": {',
        '    "factor": 8.0,',
        '    "context": 32',
        '  },',
        '  "name": "1.0",',
        '  "drop_attn_list": [',
        '    0,',
        '    2',
        '  ]',
        '}',
      ].join('\n'),
    );
  });
});
