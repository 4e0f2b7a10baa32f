import { localModel } from '../jobs/index.js';
import type { Command } from './command.js';
import type { Ui } from './ui.js';

/** A command's values with the paths of its models: those that are named on the hub are pulled where the cache lacks them. */
export async function withLocalModels(
  command: Command,
  values: Record<string, unknown>,
  ui: Ui,
): Promise<Record<string, unknown>> {
  const { inputs, argument, options } = command;
  const naming = Object.keys(options).filter((name) => options[name].model);
  const local = { ...values };
  for (const name of inputs || argument ? naming : ['model', ...naming]) {
    const given = values[name];
    if (typeof given === 'string') local[name] = await localModel(given, ui.job);
    else if (Array.isArray(given)) {
      const paths: string[] = [];
      for (const one of given as string[]) paths.push(await localModel(one, ui.job));
      local[name] = paths;
    }
  }
  return local;
}
