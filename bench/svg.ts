/** A drawing of bars with quartiles: panels two beside each other, a scale each, as one SVG text. No dependencies. */

export interface Bar {
  readonly label: string;
  /** Null: there is no figure, which is said. */
  readonly value: number | null;
  readonly quartiles: readonly [number, number] | null;
  readonly colour: string;
}

/** A median and how far the tail goes, on a logarithmic axis. */
export interface Tail {
  readonly label: string;
  /** p50, p99, p99.9; null: there is no figure. */
  readonly values: readonly [number, number, number] | null;
  readonly colour: string;
}

export interface TailPanel {
  readonly title: string;
  readonly tails: readonly Tail[];
  readonly unit: string;
}

export interface Panel {
  readonly title: string;
  readonly bars: readonly Bar[];
  readonly unit: string;
  /** What is longer is cut off there, and says its value. */
  readonly longest?: number;
}

const WIDTH = 1080;
const COLUMNS = 2;
const GAP = 30;
const MARGIN = 24;
const LABEL_WIDTH = 104;
const VALUE_WIDTH = 92;
const TITLE_HEIGHT = 30;
const BAR_HEIGHT = 15;
const BAR_GAP = 7;
const AXIS_HEIGHT = 26;
const HEAD_HEIGHT = 78;
const TICKS = 4;
const INK = '#1f2933';
const FAINT = '#9aa5b1';

export interface Drawing {
  readonly title: string;
  readonly subtitle: string;
  readonly panels: readonly (Panel | TailPanel)[];
  readonly legend: readonly (readonly [label: string, colour: string])[];
}

export function drawing({ title, subtitle, panels, legend }: Drawing): string {
  const width = (WIDTH - 2 * MARGIN - (COLUMNS - 1) * GAP) / COLUMNS;
  const parts: string[] = [];
  let top = HEAD_HEIGHT;
  for (let first = 0; first < panels.length; first += COLUMNS) {
    const row = panels.slice(first, first + COLUMNS);
    row.forEach((panel, column) => {
      const x = MARGIN + column * (width + GAP);
      parts.push('bars' in panel ? drawPanel(panel, x, top, width) : drawTails(panel, x, top, width));
    });
    top += Math.max(...row.map(heightOf)) + GAP;
  }
  const keys = legend.map(([label, colour], i) => {
    const x = MARGIN + i * 190;
    return `<rect x="${x}" y="56" width="11" height="11" fill="${colour}"/>${text(x + 17, 66, label, { size: 12 })}`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${Math.ceil(top)}" viewBox="0 0 ${WIDTH} ${Math.ceil(top)}" font-family="DejaVu Sans, Helvetica, Arial, sans-serif">`,
    `<rect width="100%" height="100%" fill="#ffffff"/>`,
    text(MARGIN, 26, title, { size: 18, weight: 'bold' }),
    text(MARGIN, 46, subtitle, { size: 11, colour: '#52606d' }),
    ...keys,
    ...parts,
    '</svg>',
    '',
  ].join('\n');
}

const heightOf = (panel: Panel | TailPanel): number =>
  TITLE_HEIGHT + ('bars' in panel ? panel.bars : panel.tails).length * (BAR_HEIGHT + BAR_GAP) + AXIS_HEIGHT;

function drawPanel({ title, bars, unit, longest }: Panel, x: number, y: number, width: number): string {
  const plot = { x: x + LABEL_WIDTH, width: width - LABEL_WIDTH - VALUE_WIDTH };
  const largest = Math.max(1, ...bars.map(({ value, quartiles }) => Math.max(value ?? 0, quartiles?.[1] ?? 0)));
  const { end, step } = scale(Math.min(largest, longest ?? largest));
  const at = (value: number): number => plot.x + (Math.min(value, end) / end) * plot.width;
  const bottom = y + TITLE_HEIGHT + bars.length * (BAR_HEIGHT + BAR_GAP);
  const parts = [text(x, y + 14, title, { size: 13, weight: 'bold' })];
  for (let tick = 0; tick <= end + step / 2; tick += step) {
    parts.push(line(at(tick), y + TITLE_HEIGHT - 6, at(tick), bottom, '#e4e7eb'));
    parts.push(text(at(tick), bottom + 14, short(tick), { size: 10, anchor: 'middle', colour: '#52606d' }));
  }
  parts.push(text(plot.x + plot.width + 22, bottom + 14, unit, { size: 10, colour: '#52606d' }));
  bars.forEach(({ label, value, quartiles, colour }, i) => {
    const top = y + TITLE_HEIGHT + i * (BAR_HEIGHT + BAR_GAP);
    const middle = top + BAR_HEIGHT / 2;
    parts.push(text(plot.x - 8, middle + 4, label, { size: 11, anchor: 'end' }));
    if (value === null) {
      parts.push(text(plot.x + 6, middle + 4, 'no figure', { size: 11, colour: FAINT }));
      return;
    }
    const isCut = value > end;
    parts.push(
      `<rect x="${n(plot.x)}" y="${n(top)}" width="${n(at(value) - plot.x)}" height="${BAR_HEIGHT}" fill="${colour}"/>`,
    );
    if (isCut) parts.push(`<path d="${cutMark(plot.x + plot.width - 14, top)}" fill="#ffffff"/>`);
    let right = at(value);
    if (quartiles !== null && !isCut) {
      const [low, high] = quartiles.map(at);
      right = Math.max(right, high);
      parts.push(line(low, middle, high, middle, INK), line(low, middle - 4, low, middle + 4, INK));
      parts.push(line(high, middle - 4, high, middle + 4, INK));
    }
    parts.push(text(right + 6, middle + 4, short(value), { size: 11 }));
  });
  return parts.join('\n');
}

function drawTails({ title, tails, unit }: TailPanel, x: number, y: number, width: number): string {
  const plot = { x: x + LABEL_WIDTH, width: width - LABEL_WIDTH - 1.6 * VALUE_WIDTH };
  const all = tails.flatMap(({ values }) => values ?? []).filter((value) => value > 0);
  const first = Math.floor(Math.log10(Math.min(10, ...all)));
  const last = Math.max(first + 1, Math.ceil(Math.log10(Math.max(10, ...all))));
  const at = (value: number): number =>
    plot.x + ((Math.log10(Math.max(value, 10 ** first)) - first) / (last - first)) * plot.width;
  const bottom = y + TITLE_HEIGHT + tails.length * (BAR_HEIGHT + BAR_GAP);
  const parts = [text(x, y + 14, title, { size: 13, weight: 'bold' })];
  for (let power = first; power <= last; power++) {
    const value = 10 ** power;
    parts.push(line(at(value), y + TITLE_HEIGHT - 6, at(value), bottom, '#e4e7eb'));
    parts.push(text(at(value), bottom + 14, short(value), { size: 10, anchor: 'middle', colour: '#52606d' }));
  }
  parts.push(text(plot.x + plot.width + 26, bottom + 14, unit, { size: 10, colour: '#52606d' }));
  tails.forEach(({ label, values, colour }, i) => {
    const middle = y + TITLE_HEIGHT + i * (BAR_HEIGHT + BAR_GAP) + BAR_HEIGHT / 2;
    parts.push(text(plot.x - 8, middle + 4, label, { size: 11, anchor: 'end' }));
    if (values === null) {
      parts.push(text(plot.x + 6, middle + 4, 'no figure', { size: 11, colour: FAINT }));
      return;
    }
    const [p50, p99, p999] = values.map(at);
    parts.push(line(p50, middle, p999, middle, INK), line(p99, middle - 5, p99, middle + 5, INK));
    parts.push(line(p999, middle - 3, p999, middle + 3, INK));
    parts.push(`<circle cx="${n(p50)}" cy="${n(middle)}" r="5" fill="${colour}"/>`);
    const said = values.map(short).join(' / ');
    parts.push(text(p999 + 6, middle + 4, said, { size: 11 }));
  });
  return parts.join('\n');
}

/** A slanting gap that says that the bar is longer than it is drawn. */
const cutMark = (x: number, top: number): string =>
  `M${n(x)} ${n(top + BAR_HEIGHT)} l6 ${-BAR_HEIGHT} l4 0 l-6 ${BAR_HEIGHT} z`;

/** A round end of the axis, and round steps. */
function scale(largest: number): { end: number; step: number } {
  const rough = largest / TICKS;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((value) => value >= rough) ?? rough;
  return { end: step * Math.ceil(largest / step), step };
}

function text(
  x: number,
  y: number,
  words: string,
  { size = 12, anchor = 'start', weight = 'normal', colour = INK } = {},
): string {
  const escaped = words.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
  return `<text x="${n(x)}" y="${n(y)}" font-size="${size}" text-anchor="${anchor}" font-weight="${weight}" fill="${colour}">${escaped}</text>`;
}

const line = (x1: number, y1: number, x2: number, y2: number, colour: string): string =>
  `<line x1="${n(x1)}" y1="${n(y1)}" x2="${n(x2)}" y2="${n(y2)}" stroke="${colour}"/>`;

const n = (value: number): string => value.toFixed(1);
const short = (value: number): string =>
  value >= 100 ? Math.round(value).toLocaleString('en-US') : String(Number(value.toFixed(1)));
