/** dropAttn -> --drop-attn */
export const flagOf = (name: string): string => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/** What a command's options are called: by itself, and where it differs, by the library. */
export interface OptionNames {
  readonly options: object;
  /** The library's name -> the command's: `{ texts: 'text' }`. */
  readonly renamed?: Readonly<Record<string, string>>;
}

/**
 * The library speaks of options by its own names, in backticks; who runs a command knows its flags:
 * "`maxMemory`" -> "--max-memory". What is no option of the command stays as it is.
 */
export function withFlags(text: string, { options, renamed = {} }: OptionNames): string {
  return text.replace(/`([A-Za-z][\w.]*)`/g, (quoted, name: string) => {
    if (Object.hasOwn(renamed, name)) return flagOf(renamed[name]);
    return Object.hasOwn(options, name) ? flagOf(name) : quoted;
  });
}
