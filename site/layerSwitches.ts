/** The layers, each with its attention and its MLP as switches. */
import type { Drops, ModuleKind } from 'llm-drop';
import { child, element } from './page.js';
import type { ModelFacts, Similarity } from './protocol.js';

const kinds: readonly ModuleKind[] = ['attention', 'mlp'];
const words: Readonly<Record<ModuleKind, string>> = { attention: 'Attention', mlp: 'MLP' };

export class LayerSwitches {
  readonly #list = element('layers');
  #buttons: Readonly<Record<ModuleKind, HTMLButtonElement[]>> = { attention: [], mlp: [] };

  constructor(private readonly onChange: () => void) {}

  /** All switches of a model, those of absent modules off for good. */
  show({ layers, absent }: ModelFacts): void {
    this.#buttons = { attention: [], mlp: [] };
    const rows = Array.from({ length: layers }, (_, layer) => {
      const row = child('li', 'layer');
      row.append(child('span', 'layer-number', String(layer)));
      for (const kind of kinds) row.append(this.#button(kind, layer, absent[kind].includes(layer)));
      return row;
    });
    this.#list.replaceChildren(...rows);
  }

  /** What is switched off. */
  get drops(): Drops {
    const off = (kind: ModuleKind): number[] =>
      this.#buttons[kind].flatMap((button, layer) => (button.ariaPressed === 'true' ? [] : [layer]));
    return { attention: off('attention'), mlp: off('mlp') };
  }

  set drops(drops: Drops) {
    for (const kind of kinds)
      this.#buttons[kind].forEach((button, layer) => {
        if (!button.disabled) button.ariaPressed = String(!drops[kind].includes(layer));
      });
  }

  /** Colours the switches, the more redundant the warmer: by their places among all, which few outliers do not change. */
  colour(similarity: Similarity): void {
    const known = kinds.flatMap((kind) => similarity[kind].filter((value) => value !== null)).sort((a, b) => a - b);
    for (const kind of kinds)
      this.#buttons[kind].forEach((button, layer) => {
        const value = similarity[kind][layer];
        if (value === null) return;
        const share = known.indexOf(value) / Math.max(1, known.length - 1);
        button.style.setProperty('--redundant', `${Math.round(100 * share)}%`);
        button.querySelector('.score')!.textContent = value.toFixed(3);
        button.ariaLabel = `${words[kind]} of layer ${layer}, similarity ${value.toFixed(3)}`;
      });
  }

  #button(kind: ModuleKind, layer: number, isAbsent: boolean): HTMLButtonElement {
    const button = child('button', `module ${kind}`);
    button.type = 'button';
    button.ariaPressed = String(!isAbsent);
    button.disabled = isAbsent;
    button.ariaLabel = `${words[kind]} of layer ${layer}${isAbsent ? ', which the model lacks' : ''}`;
    button.append(child('span', 'kind', words[kind]), child('span', 'score', ''));
    button.addEventListener('click', () => {
      button.ariaPressed = String(button.ariaPressed !== 'true');
      this.onChange();
    });
    this.#buttons[kind][layer] = button;
    return button;
  }
}
