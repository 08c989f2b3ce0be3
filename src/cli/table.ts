/** Tables for people: columns two spaces apart, no borders, plain text where the reader is not a terminal. */
import Table from 'cli-table3';

export interface Column<Row> {
  readonly head: string;
  readonly value: (row: Row) => string | number | boolean | null;
  /** Numbers stand right unless this says otherwise. */
  readonly align?: 'left' | 'right';
}

const NO_BORDER = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
};

/** The table, heads bold if `style`, with a line end after each row; unknown (null) is a dash. Spaces at line ends are cut off. */
export function renderTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[], style: boolean): string {
  const cells = rows.map((row) => columns.map((column) => column.value(row)));
  const table = new Table({
    head: columns.map(({ head }) => (style ? `\u001b[1m${head}\u001b[22m` : head)),
    chars: NO_BORDER,
    style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [], compact: true },
    colAligns: columns.map(
      ({ align }, index) => align ?? (cells.some((row) => typeof row[index] === 'number') ? 'right' : 'left'),
    ),
  });
  table.push(...cells.map((row) => row.map(cellText)));
  return `${table.toString().replace(/ +$/gm, '')}\n`;
}

/** A name or a reason never moves the cursor or starts a line of its own. */
function cellText(value: string | number | boolean | null): string {
  if (value === null) return '-';
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  return String(value).replace(/[\u0000-\u001f\u007f-\u009f]/g, '?');
}

/** Seconds as one figure and unit: 45s, 12m, 5h, 3d. */
export function briefDuration(seconds: number): string {
  if (seconds < 120) return `${Math.floor(seconds)}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)}h` : `${Math.floor(seconds / 86_400)}d`;
}
