/**
 * Fails where code outside `src/models/families` asks by string what family a model is of or which weight it holds:
 * those are questions for the model's description and the weights' roles.
 *
 *   node tools/family_strings.mjs [--root DIR] [--list]
 *
 * A test is a comparison (`===`, `!==`, `case`), a call that looks into a string (`startsWith`, `test`, `split` ...), or a
 * look-up by key (`table[path]`, `get(path)`, `path in table`). It is reported where it asks for
 *   - type: a model's type (anything called `modelType`, `model_type` or `architectures`, or a known type's name),
 *   - path: the `path` of a weight, as an interface of a weight or projection declares it,
 *   - name: a literal that is a weight's path or a tensor's name (`attention.q.weight`, `lm_head`, `self_attn` ...).
 * Folders of file formats, `src/checkpoint/FORMAT/`, may ask for names, since a file's keys are what they know.
 * `--list` also prints, without failing, where else such a literal stands.
 */
import { join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import ts from 'typescript';

const { values: o } = parseArgs({
  options: {
    root: { type: 'string', default: fileURLToPath(new URL('..', import.meta.url)) },
    list: { type: 'boolean', default: false },
  },
});
const root = resolve(o.root);

const families = 'src/models/families/';
const formatFolder = /^src\/checkpoint\/[^/]+\//;

const typeNames = new Set(['modelType', 'model_type', 'architectures']);
const equalities = new Set([
  ts.SyntaxKind.EqualsEqualsEqualsToken,
  ts.SyntaxKind.ExclamationEqualsEqualsToken,
  ts.SyntaxKind.EqualsEqualsToken,
  ts.SyntaxKind.ExclamationEqualsToken,
]);
const looksInto = new Set(
  'startsWith endsWith includes indexOf lastIndexOf match matchAll search test exec split replace replaceAll'.split(
    ' ',
  ),
);
const looksUp = new Set(['get', 'has']);

/** Interfaces that have the `path` of a weight. */
const weightInterface = /Weight|Projection/;

/** A whole path or name, or the part of it that is looked for. Prose has spaces. */
const weightNames = [
  /\b(attention|mlp)\.((norm|[qkvo]|gate|up|down|router|experts)\b|[[(])/,
  /^\^?(attention|mlp)\.$/,
  /self_attn|block_sparse_moe|[a-z]_proj\b|W_pack|layernorm|embed_tokens|lm_head|\bmodel\.(layers|norm|embed)/,
  /\.(weight|bias)\$?$/,
  /\bblk\.|\b(attn|ffn)_|token_embd|output_norm/,
];
/** Paths that are words as well: only beside something called `path`. */
const globalPaths = new Set(['embedding', 'norm', 'head']);

const read = ts.getParsedCommandLineOfConfigFile(
  join(root, 'tsconfig.build.json'),
  {},
  {
    ...ts.sys,
    onUnRecoverableConfigFileDiagnostic: ({ messageText }) => {
      throw new Error(ts.flattenDiagnosticMessageText(messageText, '\n'));
    },
  },
);
const program = ts.createProgram(read.fileNames, read.options);
const checker = program.getTypeChecker();
const files = program
  .getSourceFiles()
  .map((file) => ({ file, path: relative(root, file.fileName).split(sep).join('/') }))
  .filter(({ file, path }) => path.startsWith('src/') && !file.isDeclarationFile);
const knownTypes = new Set(
  files.filter(({ path }) => path.startsWith('src/models/')).flatMap(({ file }) => typesOf(file)),
);

/** The literals in `types: ['llama', ...]` of a family. */
function typesOf(file) {
  const found = [];
  const visit = (node) => {
    if (
      ts.isPropertyAssignment(node) &&
      node.name.getText() === 'types' &&
      ts.isArrayLiteralExpression(node.initializer)
    )
      found.push(...node.initializer.elements.filter(ts.isStringLiteral).map(({ text }) => text));
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

/** Without parentheses, assertions and `String()`. */
function bare(node) {
  for (;;) {
    if (
      ts.isParenthesizedExpression(node) ||
      ts.isAsExpression(node) ||
      ts.isNonNullExpression(node) ||
      ts.isSatisfiesExpression(node)
    )
      node = node.expression;
    else if (ts.isCallExpression(node) && node.expression.getText() === 'String' && node.arguments.length === 1)
      node = node.arguments[0];
    else return node;
  }
}

/** What an expression calls its value: `path` of `spec.path`, `path` and `spec['path']`. */
function nameOf(node) {
  if (ts.isIdentifier(node)) return node.text;
  if (ts.isPropertyAccessExpression(node)) return node.name.text;
  if (ts.isElementAccessExpression(node) && ts.isStringLiteralLike(node.argumentExpression))
    return node.argumentExpression.text;
  return undefined;
}

/** The property that an expression reads, also where it was taken out by a pattern: `({ spec: { path } }) => path`. */
function propertyOf(node) {
  const symbol = checker.getSymbolAtLocation(ts.isPropertyAccessExpression(node) ? node.name : node);
  const declaration = symbol?.valueDeclaration;
  if (!declaration || !ts.isBindingElement(declaration) || !ts.isObjectBindingPattern(declaration.parent))
    return symbol;
  const key = (declaration.propertyName ?? declaration.name).getText();
  return checker.getTypeAtLocation(declaration.parent).getProperty(key);
}

function isWeightPath(node) {
  if (!ts.isPropertyAccessExpression(node) && !ts.isIdentifier(node)) return false;
  const property = propertyOf(node);
  return Boolean(
    property?.name === 'path' &&
    property.declarations?.some(({ parent }) => weightInterface.test(parent.name?.text ?? '')),
  );
}

/** The text of a literal, `*` for what a template fills in; of a constant that holds one, that one's. */
function literalText(node) {
  if (ts.isStringLiteralLike(node)) return node.text;
  if (ts.isTemplateExpression(node))
    return [node.head, ...node.templateSpans.map((s) => s.literal)].map((part) => part.text).join('*');
  if (ts.isRegularExpressionLiteral(node)) return node.text.slice(1, node.text.lastIndexOf('/')).replaceAll('\\.', '.');
  const value = constantOf(node);
  return value && !ts.isIdentifier(value) ? literalText(value) : undefined;
}

/** What a name stands for, also one that is imported. */
function constantOf(node) {
  if (!ts.isIdentifier(node)) return undefined;
  const symbol = checker.getSymbolAtLocation(node);
  const { valueDeclaration: declaration } = (symbol && aliased(symbol)) ?? {};
  const held = declaration && ts.isVariableDeclaration(declaration) ? declaration.initializer : undefined;
  return held && bare(held);
}

const aliased = (symbol) => (symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol);

const isWeightName = (text) =>
  text !== undefined && !/\s/.test(text) && weightNames.some((pattern) => pattern.test(text));

const isNothing = (node) => node.kind === ts.SyntaxKind.NullKeyword || node.getText() === 'undefined';

/** What a test with these operands asks for: `type`, `path`, `name`, or nothing of these. */
function asksFor(operands, path) {
  const given = operands.map(bare);
  if (given.some(isNothing)) return undefined;
  const texts = given.map(literalText);
  if (given.some((node) => typeNames.has(nameOf(node))) || texts.some((text) => knownTypes.has(text))) return 'type';
  if (given.some(isWeightPath)) return 'path';
  if (given.some((node) => nameOf(node) === 'path') && texts.some((text) => globalPaths.has(text))) return 'path';
  return texts.some(isWeightName) && !formatFolder.test(path) ? 'name' : undefined;
}

/** Operands of what this node tests, or undefined where it tests nothing. */
function testOf(node) {
  if (ts.isBinaryExpression(node)) {
    const { kind } = node.operatorToken;
    return equalities.has(kind) || kind === ts.SyntaxKind.InKeyword ? [node.left, node.right] : undefined;
  }
  if (ts.isCaseClause(node)) return [node.parent.parent.expression, node.expression];
  if (ts.isElementAccessExpression(node)) return [node.argumentExpression, ...keysOf(node.expression)];
  if (!ts.isCallExpression(node) || !ts.isPropertyAccessExpression(node.expression)) return undefined;
  const { name, expression: receiver } = node.expression;
  if (looksInto.has(name.text)) return [receiver, ...node.arguments];
  // A map made while running is asked by whatever keys it has; one asked by a literal knows what that means.
  return looksUp.has(name.text) ? node.arguments.filter((argument) => !isWeightPath(bare(argument))) : undefined;
}

/** The quoted keys of a constant table. */
function keysOf(table) {
  const value = constantOf(table);
  if (!value || !ts.isObjectLiteralExpression(value)) return [];
  return value.properties.flatMap(({ name }) => (name && ts.isStringLiteral(name) ? [name] : []));
}

const found = [];
const mentions = [];
for (const { file, path } of files) {
  if (path.startsWith(families)) continue;
  const at = (node) => {
    const { line, character } = file.getLineAndCharacterOfPosition(node.getStart());
    return `${path}:${line + 1}:${character + 1}`;
  };
  const visit = (node, tested) => {
    const operands = testOf(node);
    const asked = operands && asksFor(operands, path);
    if (asked) found.push(`${at(node)} [${asked}] ${node.getText().split('\n')[0]}`);
    const isText = ts.isStringLiteralLike(node) || ts.isTemplateExpression(node) || ts.isRegularExpressionLiteral(node);
    if (isText && !tested && !formatFolder.test(path) && isWeightName(literalText(node)))
      mentions.push(`${at(node)} ${node.getText()}`);
    ts.forEachChild(node, (child) => visit(child, tested || (asked && operands.includes(child))));
  };
  visit(file, false);
}

const count = (list, one, more) => `${list.length} ${list.length === 1 ? one : more}`;
for (const line of found) console.error(line);
if (o.list) for (const line of mentions) console.log(`mentioned: ${line}`);
if (o.list) console.log(`${count(found, 'test', 'tests')} by string, ${count(mentions, 'mention', 'mentions')} beside`);
if (found.length) {
  console.error(
    `${count(found, 'place asks', 'places ask')} by string what the model's description and the weights' roles say; ` +
      `only ${families} may`,
  );
  process.exitCode = 1;
}
