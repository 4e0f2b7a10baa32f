import { Template } from '@huggingface/jinja';
import { UserError, shownNames, shownValue } from '../../engine/index.js';
import { fileError, systemErrorCode } from '../fileError.js';
import { fileSystem } from '../files/index.js';
import { isJsonObject, readJsonObject, type JsonObject } from '../jsonFile.js';
import { readWhole, textOf } from '../readWhole.js';
import { withinDeadline } from './deadline.js';

/** What one side says. Templates may ask for more fields than these (`tool_calls`). */
export interface ChatMessage {
  /** `system`, `user`, `assistant`, `tool`. */
  readonly role: string;
  /** A string; of models that see, also a list of parts. */
  readonly content: unknown;
  readonly [field: string]: unknown;
}

export interface ChatTemplateOptions {
  /** Ends with the words that open an answer. @defaultValue false */
  readonly addGenerationPrompt?: boolean;
  /** A Jinja template in place of the model's own. */
  readonly template?: string;
}

/** Jinja templates by name; `default` is the one that is meant where none is named. */
export type ChatTemplates = Readonly<Record<string, string>>;

/** The folder of templates beside the default one. */
export const moreTemplates = 'additional_chat_templates';

/**
 * The chat templates of a folder, as transformers finds them: `chat_template.jinja` and those in
 * `additional_chat_templates`, else what tokenizer_config.json says, else `chat_template.json`.
 */
export async function readChatTemplates(folder: string, config: JsonObject): Promise<ChatTemplates> {
  const files = await templateFiles(folder);
  if (Object.keys(files).length) return files;
  const own = templatesOf(config.chat_template, `${folder}/tokenizer_config.json`);
  if (own) return own;
  const alone = await readJsonObject(fileSystem.join(folder, 'chat_template.json'));
  return templatesOf(alone?.chat_template, `${folder}/chat_template.json`) ?? {};
}

async function templateFiles(folder: string): Promise<ChatTemplates> {
  const names = await fileSystem.readdir(fileSystem.join(folder, moreTemplates)).catch(() => []);
  const paths = [
    ['default', fileSystem.join(folder, 'chat_template.jinja')],
    ...names
      .filter((name) => name.endsWith('.jinja'))
      .sort()
      .map((name) => [fileSystem.basename(name, '.jinja'), fileSystem.join(folder, moreTemplates, name)]),
  ];
  const texts = await Promise.all(
    paths.map(async ([name, path]) => {
      const bytes = await readWhole(path).catch((error: unknown) => {
        if (systemErrorCode(error) === 'ENOENT') return undefined;
        throw fileError(error, 'cannot read', path);
      });
      return bytes === undefined ? [] : [[name, textOf(bytes)] as const];
    }),
  );
  return Object.fromEntries(texts.flat());
}

/** A template is written as a string, or several as a list of names and templates. */
function templatesOf(value: unknown, where: string): ChatTemplates | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'string') return { default: value };
  const named = Array.isArray(value)
    ? value.map((item: unknown) => (isJsonObject(item) ? [item.name, item.template] : []))
    : isJsonObject(value)
      ? Object.entries(value)
      : [[]];
  if (named.some(([name, template]) => typeof name !== 'string' || typeof template !== 'string'))
    throw new UserError(
      `${where}: chat_template must be a template, or a list of templates with names, found ${shownValue(value)}`,
    );
  return Object.fromEntries(named) as ChatTemplates;
}

/** Makes texts of chats. UserError where there is no template by default, where it is wrong, or refuses the chat. */
export class ChatTemplate {
  #parsed: { readonly source: string; readonly template: Template } | undefined;

  constructor(
    private readonly templates: ChatTemplates,
    /** `bos_token`, `eos_token` and so on, which templates write. */
    private readonly specialTokens: Readonly<Record<string, string>>,
    /** For messages. */
    private readonly where: string,
  ) {}

  apply(messages: readonly ChatMessage[], o: ChatTemplateOptions = {}): string {
    const { addGenerationPrompt = false, template: source = this.templates.default } = o;
    if (source === undefined) {
      const names = Object.keys(this.templates);
      throw new UserError(`${this.where} has no chat template${names.length ? ' by default' : ''}`, {
        hint: `${names.length ? `it has templates for ${shownNames(names)}` : 'it was not made for chats'}; \`template\` gives it one`,
      });
    }
    const what = o.template === undefined ? `the chat template of ${this.where}` : 'the chat template that was given';
    try {
      return withinDeadline(what, source.length, () => {
        if (this.#parsed?.source !== source) this.#parsed = { source, template: new Template(source) };
        return this.#parsed.template.render({
          ...this.specialTokens,
          messages,
          add_generation_prompt: addGenerationPrompt,
        });
      });
    } catch (error) {
      if (error instanceof UserError) throw error;
      throw new UserError(`${what} cannot be used: ${(error as Error).message}`, { cause: error });
    }
  }
}
