/** Numbers of a server in Prometheus' text format (version 0.0.4). */
export class Metrics {
  readonly #families = new Map<string, { readonly help: string; readonly type: string; lines: () => string[] }>();

  /** A number that only grows, for each set of labels. */
  counter(name: string, help: string): (labels: Labels, by?: number) => void {
    const values = new Map<string, number>();
    this.#add(name, 'counter', help, () => [...values].map(([labels, value]) => `${name}${labels} ${value}`));
    return (labels, by = 1) => {
      const key = shown(labels);
      values.set(key, (values.get(key) ?? 0) + by);
    };
  }

  /** A number as it is when it is asked for, for each set of labels. */
  gauge(name: string, help: string, read: () => readonly (readonly [Labels, number])[]): void {
    this.#add(name, 'gauge', help, () => read().map(([labels, value]) => `${name}${shown(labels)} ${value}`));
  }

  /** How often values were at most each of some bounds. */
  histogram(name: string, help: string, bounds: readonly number[]): (labels: Labels, value: number) => void {
    const all = new Map<string, { readonly labels: Labels; readonly counts: number[]; count: number; sum: number }>();
    this.#add(name, 'histogram', help, () =>
      [...all.values()].flatMap(({ labels, counts, count, sum }) => [
        ...bounds.map((bound, i) => `${name}_bucket${shown({ ...labels, le: String(bound) })} ${counts[i]}`),
        `${name}_bucket${shown({ ...labels, le: '+Inf' })} ${count}`,
        `${name}_sum${shown(labels)} ${sum}`,
        `${name}_count${shown(labels)} ${count}`,
      ]),
    );
    return (labels, value) => {
      const key = shown(labels);
      let one = all.get(key);
      if (!one) all.set(key, (one = { labels, counts: bounds.map(() => 0), count: 0, sum: 0 }));
      bounds.forEach((bound, i) => (one.counts[i] += value <= bound ? 1 : 0));
      one.count++;
      one.sum += value;
    };
  }

  text(): string {
    return [...this.#families]
      .flatMap(([name, { help, type, lines }]) => [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines(), ''])
      .join('\n');
  }

  #add(name: string, type: string, help: string, lines: () => string[]): void {
    this.#families.set(name, { help, type, lines });
  }
}

export type Labels = Readonly<Record<string, string>>;

const shown = (labels: Labels): string => {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return pairs.length ? `{${pairs.join(',')}}` : '';
};

const escaped = (value: string): string =>
  value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
