/** What the pages of the HTTP address are made of: tables, cells, figures. */

export type Cell = { text: string; kind?: 'number' | 'wrap'; state?: string };

/** A heading that starts with # is of a column of numbers. */
export function section(title: string, heads: string[], rows: Cell[][], empty = 'Nothing to show.'): string {
  const heading = `<h2>${escapeHtml(title)}</h2>`;
  if (rows.length === 0) return `${heading}\n<p>${empty}</p>`;
  const head = heads.map((text) =>
    text.startsWith('#') ? `<th class="number">${text.slice(1)}</th>` : `<th>${text}</th>`,
  );
  const body = rows.map((row) => `<tr>${row.map(cellHtml).join('')}</tr>`);
  return `${heading}
<div class="wide"><table><thead><tr>${head.join('')}</tr></thead>
<tbody>
${body.join('\n')}
</tbody></table></div>`;
}

function cellHtml(of: Cell): string {
  const classes = of.state === undefined ? of.kind : `state ${of.state}`;
  return `<td${classes === undefined ? '' : ` class="${classes}"`}>${escapeHtml(of.text)}</td>`;
}

export function plain(text: string): Cell {
  return { text };
}

export function figure(value: number): Cell {
  return { text: count(value), kind: 'number' };
}

/** No thousands separator: a port is a name. */
export function port(value: number): Cell {
  return { text: String(value), kind: 'number' };
}

export function cell(text: string, state: 'good' | 'warn' | 'bad'): Cell {
  return { text, state };
}

export function count(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: 2 });
}

export function duration(seconds: number): string {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} d`;
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
