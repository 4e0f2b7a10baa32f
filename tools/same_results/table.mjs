/** Prints models by commands, how many steps came out how; then what was refused, and each difference. */
export function printTable(verdicts) {
  const commands = [...new Set(verdicts.map(({ command }) => command))];
  const models = [...new Set(verdicts.map(({ model }) => model))];
  const cell = (command, model) => {
    const kinds = verdicts.filter((v) => v.command === command && v.model === model).map(({ kind }) => kind);
    return [...new Set(kinds)].map((kind) => `${kinds.filter((one) => one === kind).length} ${kind}`).join(', ');
  };
  const rows = [
    ['', ...models],
    ...commands.map((command) => [command, ...models.map((model) => cell(command, model))]),
  ];
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length)));
  for (const row of rows)
    console.log(
      row
        .map((text, i) => text.padEnd(widths[i]))
        .join('  ')
        .trimEnd(),
    );

  const refused = verdicts.filter(({ kind }) => kind === 'refused alike');
  if (refused.length) console.log('\nrefused alike:');
  for (const reason of new Set(refused.map(({ says }) => says))) {
    const steps = refused.filter(({ says }) => says === reason).map(({ model, name }) => `${model} ${name}`);
    console.log(`  ${reason}: ${steps.join('; ')}`);
  }
  for (const kind of ['NOT REFUSED', 'FAILED in both', 'DIFFERENT']) {
    const found = verdicts.filter((v) => v.kind === kind);
    if (found.length) console.log(`\n${kind}:`);
    for (const { model, name, says } of found) console.log(`  ${model}, ${name}: ${says}`);
  }
}
