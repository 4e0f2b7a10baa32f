/** Loss, speed and memory, now and beside those of the whole model. */
import { element } from './page.js';
import type { Readings } from './protocol.js';

type Numbers = Omit<Readings, 'text'>;

const signed = (value: number, digits: number): string => `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(digits)}`;

const shown: { readonly [K in keyof Numbers]: (now: number, whole: number) => readonly [string, string] } = {
  loss: (now, whole) => [now.toFixed(3), signed(now - whole, 3)],
  tokensPerSecond: (now, whole) => [Math.round(now).toLocaleString('en'), `${(now / whole).toFixed(2)}×`],
  kvBytes: (now, whole) => [now.toLocaleString('en'), `${(now / whole).toFixed(2)}×`],
};

/** Shows what is known; what is not yet is marked as of before. */
export function showReadings(now: Partial<Numbers>, whole: Partial<Numbers> = now): void {
  for (const name of ['loss', 'tokensPerSecond', 'kvBytes'] as const) {
    const place = element(name);
    const value = now[name];
    place.classList.toggle('stale', value === undefined);
    if (value === undefined) continue;
    const [text, beside] = shown[name](value, whole[name] ?? value);
    place.querySelector('.value')!.textContent = text;
    place.querySelector('.beside')!.textContent = value === whole[name] ? '' : beside;
  }
}
