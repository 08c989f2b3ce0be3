/**
 * A strict reader of the Prometheus text format 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/), so that tests do not trust the library that writes it.
 */
export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly samples: { readonly labels: Record<string, string>; readonly value: number }[];
}

const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(?:,|$)/;

/** Throws with the line's number on anything that the format does not allow, or that we promise not to do. */
export function parseExposition(text: string): Map<string, Family> {
  if (!text.endsWith('\n')) throw new Error('the last line does not end');
  const families = new Map<string, Family>();
  let help: { name: string; text: string } | null = null;
  let current: Family | null = null;
  const seen = new Set<string>();
  for (const [index, line] of text.split('\n').entries()) {
    const fail = (why: string): never => {
      throw new Error(`line ${index + 1}: ${why}: ${line}`);
    };
    if (line === '') continue;
    if (line.startsWith('# HELP ')) {
      const match = /^# HELP (\S+) (\S.*)$/.exec(line) ?? fail('HELP without text');
      help = { name: match[1], text: match[2] };
    } else if (line.startsWith('# TYPE ')) {
      const match = /^# TYPE (\S+) (counter|gauge|histogram|summary|untyped)$/.exec(line) ?? fail('bad TYPE');
      if (help?.name !== match[1]) fail('TYPE without its HELP before it');
      if (families.has(match[1])) fail('the family stands twice');
      current = { name: match[1], help: help?.text ?? '', type: match[2], samples: [] };
      families.set(match[1], current);
    } else if (line.startsWith('#')) {
      fail('a comment that is neither HELP nor TYPE');
    } else {
      const match = SAMPLE.exec(line) ?? fail('not a sample');
      if (current === null || match[1] !== current.name) fail('a sample outside its family');
      const labels: Record<string, string> = {};
      for (let rest = match[2] ?? ''; rest !== ''; ) {
        const label = LABEL.exec(rest) ?? fail('bad labels');
        if (label[1] in labels) fail('a label stands twice');
        labels[label[1]] = label[2].replace(/\\(.)/g, (_all, escaped) => (escaped === 'n' ? '\n' : escaped));
        rest = rest.slice(label[0].length);
      }
      const value = match[3] === '+Inf' ? Number.POSITIVE_INFINITY : Number(match[3]);
      if (Number.isNaN(value) && match[3] !== 'NaN') fail('bad value');
      const series = `${match[1]}${JSON.stringify(Object.entries(labels).sort())}`;
      if (seen.has(series)) fail('the series stands twice');
      seen.add(series);
      current?.samples.push({ labels, value });
    }
  }
  return families;
}
