import { Command as Program, CommanderError, Option as ProgramOption } from 'commander';
import { UserError } from '../engine/index.js';
import type { Command } from './command.js';
import { bench } from './commands/bench.js';
import { chat } from './commands/chat.js';
import { compensate } from './commands/compensate.js';
import { compress } from './commands/compress.js';
import { demo } from './commands/demo.js';
import { doctor } from './commands/doctor.js';
import { drop } from './commands/drop.js';
import { evaluate } from './commands/eval.js';
import { exportCommand } from './commands/export.js';
import { generate } from './commands/generate.js';
import { inspect } from './commands/inspect.js';
import { logits } from './commands/logits.js';
import { merge } from './commands/merge.js';
import { play } from './commands/play.js';
import { pull } from './commands/pull.js';
import { quantize } from './commands/quantize.js';
import { score } from './commands/score.js';
import { serve } from './commands/serve.js';
import { sweep } from './commands/sweep.js';
import { errorText } from './errorText.js';
import { flagOf, withFlags, type OptionNames } from './flagNames.js';
import { withLocalModels } from './localModels.js';
import { newerNodeNotice } from './newerNode.js';
import { commonOptions, type Option } from './options.js';
import { version } from './package.js';
import { ReaderGone, Ui, type Surroundings } from './ui.js';

const commands: readonly Command[] = [
  pull,
  inspect,
  score,
  merge,
  drop,
  compensate,
  quantize,
  compress,
  sweep,
  evaluate,
  generate,
  chat,
  serve,
  logits,
  exportCommand,
  bench,
  play,
  demo,
  doctor,
];

/** Runs a command line (without `node` and the script) and returns the exit code: 0, 1 for any error, 130 after Ctrl-C. */
export async function run(argv: readonly string[], surroundings: Surroundings): Promise<number> {
  const { stdout, stderr, signal } = surroundings;
  let ui: Ui | undefined;
  let names: OptionNames = { options: {} };
  const program = createProgram(surroundings, async (command, values) => {
    names = { options: { ...command.options, ...commonOptions }, renamed: command.renamed };
    ui = new Ui(surroundings, values.json === true, names);
    checkRequired(command, values);
    const { computes = true } = command;
    if (computes && values.backend === 'wasm' && stderr.isTTY && !ui.json) ui.note(newerNodeNotice());
    await command.run(await withLocalModels(command, values, ui), ui);
  });
  try {
    const code = await program.parseAsync([...argv], { from: 'user' }).then(() => 0, codeOfEnd);
    await stdout.flushed?.();
    return code;
  } catch (error) {
    ui?.quiet();
    if (signal?.aborted) {
      stderr.write('interrupted\n');
      return 130;
    }
    stderr.write(`${withFlags(errorText(error, { verbose: argv.includes('--verbose') }), names)}\n`);
    return 1;
  }
}

/** The exit code of what ends a command early and is no error: help, and a reader that has seen enough. */
function codeOfEnd(error: unknown): number {
  if (error instanceof ReaderGone) return 0;
  const help = ['commander.helpDisplayed', 'commander.help', 'commander.version'];
  if (error instanceof CommanderError && help.includes(error.code)) return error.exitCode;
  throw error;
}

type Execute = (command: Command, values: Record<string, unknown>) => Promise<void>;

function createProgram({ stdout, stderr }: Surroundings, execute: Execute): Program {
  const program = new Program('llm-drop')
    .description('Finds, removes and proves redundant layers of a language model.')
    .version(version)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => stdout.write(text),
      writeErr: (text) => stderr.write(text),
      outputError: () => undefined,
    })
    .addHelpText(
      'after',
      '\nA model is a folder with config.json and model.safetensors, a .gguf file, or hf:ORG/NAME on the Hugging Face hub. llm-drop <command> --help shows examples.',
    );
  for (const command of commands) register(program, command, execute);
  return program;
}

function register(program: Program, command: Command, execute: Execute): void {
  // A command's own option takes the place of a common one.
  const options = Object.entries({ ...command.options, ...commonOptions, ...command.options });
  const defaults = Object.fromEntries(options.map(([name, option]) => [name, option.default]));
  const { alone, argument, defaultModel, inputs } = command;
  const sub = program
    .command(command.name)
    .summary(command.summary)
    .description([`${command.summary}.`, command.description].filter(Boolean).join('\n\n'))
    .addHelpText('after', examplesText(command));
  if (alone) sub.action((values: Record<string, unknown>) => execute(command, { ...defaults, ...values }));
  else
    sub
      .argument(
        inputs ? '<files...>' : defaultModel ? '[model]' : '<model>',
        inputs ??
          argument ??
          `model folder, .gguf file or hf:ORG/NAME${defaultModel ? ' (default: the built-in model)' : ''}`,
      )
      .action((given: string | string[] | undefined, values: Record<string, unknown>) =>
        execute(command, {
          ...defaults,
          ...values,
          ...(inputs ? { inputs: given } : { model: given ?? defaultModel?.() }),
        }),
      );
  for (const [name, option] of options) sub.addOption(programOption(name, option));
  for (const [old, name] of Object.entries(command.oldNames ?? {}))
    sub.addOption(oldOption(old, name, command.options[name]));
}

/** Checked here because Commander would complain about a missing option before one that it does not know. */
function checkRequired({ name, options }: Command, values: Record<string, unknown>): void {
  const missing = Object.entries(options).find(([key, { required }]) => required && values[key] === undefined);
  if (missing)
    throw new UserError(`${name} needs ${flagOf(missing[0])} <${missing[1].value}>`, {
      hint: `llm-drop ${name} --help shows examples`,
    });
}

function programOption(name: string, option: Option<unknown>): ProgramOption {
  const flag = flagOf(name);
  const description = option.required ? `${option.description} (required)` : option.description;
  const made = new ProgramOption(option.value ? `${flag} ${valueText(option)}` : flag, description);
  if (option.value && option.default !== undefined) made.default(option.default);
  const { parse } = option;
  if (parse) made.argParser((text) => parse(text, flag));
  return made;
}

const valueText = ({ value, variadic, optional }: Option<unknown>): string =>
  optional ? `[${value}]` : `<${value}${variadic ? '...' : ''}>`;

/** An option under the name that it had: not shown, and its value is the option's. */
function oldOption(old: string, name: string, { default: _default, ...option }: Option<unknown>): ProgramOption {
  const made = programOption(old, option).hideHelp();
  made.attributeName = () => name;
  return made;
}

function examplesText({ examples }: Command): string {
  return `\nExamples:\n${examples.map(([line, meaning]) => `  # ${meaning}\n  llm-drop ${line}`).join('\n')}`;
}
