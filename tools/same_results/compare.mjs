/** Two results, byte for byte but for what masks.mjs names, and where they differ first. */
import { readFileSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { maskedKeys, progressLine } from './masks.mjs';

/** Every file below a folder, by its path from there; of folders with a slash at the end. */
export function filesBelow(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .map((entry) => {
      const path = relative(folder, join(entry.parentPath ?? entry.path, entry.name));
      return entry.isDirectory() ? `${path}/` : path;
    })
    .sort();
}

/** The first difference between two files as a sentence, or undefined. */
export function fileDifference(a, b) {
  if (a.endsWith('/')) return undefined;
  const [left, right] = [readFileSync(a), readFileSync(b)];
  if (left.equals(right)) return undefined;
  if (a.endsWith('.json')) return jsonDifference(left.toString(), right.toString());
  if (a.endsWith('.safetensors')) return safetensorsDifference(left, right);
  const texts = [left, right].map(utf8);
  if (texts.every((text) => text !== undefined)) return textDifference(...texts);
  return bytesDifference(left, right);
}

function utf8(bytes) {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

function bytesDifference(left, right) {
  const at = firstDifference(left, right);
  const hex = (bytes) => (at < bytes.length ? bytes.subarray(at, at + 8).toString('hex') : 'the end');
  return `byte ${at}: ${hex(left)} / ${hex(right)}`;
}

function firstDifference(left, right) {
  const shorter = Math.min(left.length, right.length);
  for (let i = 0; i < shorter; i++) if (left[i] !== right[i]) return i;
  return shorter;
}

/** Names the tensor and the element. */
function safetensorsDifference(left, right) {
  const [start, otherStart] = [left, right].map((bytes) => 8 + Number(bytes.readBigUInt64LE()));
  const [header, otherHeader] = [left.subarray(8, start), right.subarray(8, otherStart)];
  if (!header.equals(otherHeader))
    return `header, ${jsonDifference(header.toString(), otherHeader.toString()) ?? 'its padding'}`;
  const at = firstDifference(left, right) - start;
  const tensors = Object.entries(JSON.parse(header.toString())).filter(([name]) => name !== '__metadata__');
  const found = tensors.find(([, tensor]) => tensor.data_offsets[0] <= at && at < tensor.data_offsets[1]);
  if (!found) return bytesDifference(left, right);
  const [name, { dtype, shape, data_offsets: offsets }] = found;
  const [from, to] = offsets;
  const width = (to - from) / shape.reduce((a, b) => a * b, 1);
  const element = Math.floor((at - from) / width);
  const place = start + from + element * width;
  const [one, other] = [left, right].map((bytes) => elementText(bytes.subarray(place, place + width), dtype));
  return `tensor ${name}, element ${element}: ${one} / ${other}`;
}

/** With its bytes, since two NaN may differ in them. */
function elementText(bytes, dtype) {
  const hex = bytes.toString('hex');
  if (dtype === 'F32') return `${bytes.readFloatLE()} (${hex})`;
  if (dtype === 'BF16') return `${Buffer.from([0, 0, ...bytes]).readFloatLE()} (${hex})`;
  return `${dtype} ${hex}`;
}

/** Texts for people, line by line. */
export function textDifference(left, right) {
  const [lines, others] = [left, right].map((text) => text.split('\n'));
  for (let i = 0; i < Math.max(lines.length, others.length); i++)
    if (lines[i] !== others[i]) return `line ${i + 1}: ${lines[i] ?? 'the end'} / ${others[i] ?? 'the end'}`;
  return undefined;
}

/** What was said beside the result, without progress. */
export function stderrDifference(left, right) {
  const said = (text) => text.split('\n').filter((line) => !progressLine.test(line));
  return textDifference(...[left, right].map((text) => said(text).join('\n')));
}

/**
 * JSON documents token by token, spaces and the order of keys included. Numbers are compared as they are written, so
 * that neither NaN nor -0 is lost.
 */
export function jsonDifference(left, right) {
  const [tokens, others] = [left, right].map(jsonTokens);
  if (!tokens || !others) return textDifference(left, right);
  for (let i = 0; i < Math.max(tokens.length, others.length); i++) {
    const [one, other] = [tokens[i], others[i]];
    if (one?.text !== other?.text || one.path !== other.path)
      return `${(one ?? other).path || 'document'}: ${one?.text ?? 'the end'} / ${other?.text ?? 'the end'}`;
  }
  return undefined;
}

const token = /"(?:[^"\\]|\\.)*"|[{}[\],:]|\s+|[^\s{}[\],:"]+/g;

/** Each token with the path of its value, but for the values of masked keys; undefined for what is no JSON. */
function jsonTokens(text) {
  const words = text.match(token) ?? [];
  if (words.length === 0 || words.join('') !== text) return undefined;
  const found = [];
  let at = 0;
  const take = (path, shown) => {
    if (shown && at < words.length) found.push({ path, text: words[at] });
    return words[at++];
  };
  const skipSpace = (path, shown) => {
    while (/^\s/.test(words[at] ?? '')) take(path, shown);
  };
  const value = (path, shown) => {
    skipSpace(path, shown);
    const opening = take(path, shown);
    if (opening !== '{' && opening !== '[') return;
    for (let i = 0; ; i++) {
      skipSpace(path, shown);
      if (at >= words.length || words[at] === '}' || words[at] === ']') break;
      let [inner, innerShown] = [`${path}[${i}]`, shown];
      if (opening === '{') {
        const key = words[at].replaceAll('"', '');
        inner = `${path}.${key}`;
        take(inner, shown);
        skipSpace(inner, shown);
        take(inner, shown); // the colon
        innerShown = shown && !maskedKeys.has(key);
      }
      value(inner, innerShown);
      skipSpace(path, shown);
      if (words[at] === ',') take(path, shown);
    }
    take(path, shown);
  };
  value('', true);
  skipSpace('', true);
  return at < words.length ? undefined : found;
}
