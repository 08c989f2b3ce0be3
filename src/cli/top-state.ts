/** What a user of the live `designator top` has chosen, and what a key does to it. */
import { TOP_SORTS, TOP_VIEWS, type TopSort, type TopView } from '../ops/top.js';
import { clientValue } from './values.js';

export interface TopState {
  view: TopView;
  sort: TopSort;
  reverse: boolean;
  vip: string | undefined;
  server: string | undefined;
  client: string | undefined;
  help: boolean;
  /** The filter that is being typed; null: none is. */
  typing: string | null;
  /** What was wrong with the last filter. */
  complaint: string | null;
}

export interface TopChoice {
  readonly view: TopView;
  readonly sort?: TopSort;
  readonly reverse?: boolean;
  readonly vip?: string;
  readonly server?: string;
  readonly client?: string;
}

/** A filter is a few names. */
const TYPED_LIMIT = 200;

export const TOP_KEYS = [
  ['t', 'tunnels'],
  ['s', 'servers'],
  ['w', 'shards (workers)'],
  ['← →', 'sort by another figure'],
  ['r', 'the other way round'],
  ['f', 'filter: a server, a client (IP:PORT), or vip=NAME; empty takes it off'],
  ['space', 'look now'],
  ['h', 'this help'],
  ['q', 'end'],
] as const;

export function newTopState({ view, sort, reverse, vip, server, client }: TopChoice): TopState {
  return {
    view,
    sort: sort ?? TOP_SORTS[view][0],
    reverse: reverse ?? false,
    vip,
    server,
    client,
    help: false,
    typing: null,
    complaint: null,
  };
}

/** `look`: ask the designator anew; `draw`: only the screen changes. */
export function pressKey(state: TopState, key: string): 'quit' | 'look' | 'draw' {
  if (key === '\u0003') return 'quit'; // Ctrl-C: in raw mode it is a key
  state.complaint = null;
  if (state.typing !== null) return type(state, key);
  switch (key) {
    case 'q':
    case 'Q':
      return 'quit';
    case 't':
    case '1':
      return show(state, 'tunnels');
    case 's':
    case '2':
      return show(state, 'servers');
    case 'w':
    case '3':
      return show(state, 'shards');
    case '\t':
      return show(state, TOP_VIEWS[(TOP_VIEWS.indexOf(state.view) + 1) % TOP_VIEWS.length]);
    case '>':
    case '\u001b[C':
      return sortBy(state, 1);
    case '<':
    case '\u001b[D':
      return sortBy(state, -1);
    case 'r':
      state.reverse = !state.reverse;
      return 'look';
    case 'f':
    case '/':
      state.typing = '';
      return 'draw';
    case 'h':
    case '?':
      state.help = !state.help;
      return 'draw';
    case ' ':
    case '\r':
    case '\n':
      state.help = false;
      return 'look';
    default:
      return 'draw';
  }
}

function show(state: TopState, view: TopView): 'look' {
  state.help = false;
  if (!(TOP_SORTS[view] as readonly string[]).includes(state.sort) || view !== state.view)
    state.sort = TOP_SORTS[view][0];
  state.view = view;
  return 'look';
}

function sortBy(state: TopState, step: number): 'look' {
  const sorts: readonly TopSort[] = TOP_SORTS[state.view];
  state.sort = sorts[(sorts.indexOf(state.sort) + step + sorts.length) % sorts.length];
  return 'look';
}

function type(state: TopState, key: string): 'look' | 'draw' {
  const typed = state.typing ?? '';
  if (key === '\u001b') {
    state.typing = null;
    return 'draw';
  }
  if (key === '\r' || key === '\n') {
    state.typing = null;
    return filter(state, typed.trim());
  }
  if (key === '\u007f' || key === '\b') state.typing = typed.slice(0, -1);
  else if (key.length === 1 && key >= ' ' && typed.length < TYPED_LIMIT) state.typing = typed + key;
  return 'draw';
}

function filter(state: TopState, text: string): 'look' | 'draw' {
  const found: Pick<TopState, 'vip' | 'server' | 'client'> = { vip: undefined, server: undefined, client: undefined };
  for (const word of text.split(/\s+/).filter((part) => part !== '')) {
    const [, name, value] = /^(vip|server|client)=(.*)$/.exec(word) ?? [
      ,
      word.includes(':') ? 'client' : 'server',
      word,
    ];
    try {
      found[name as 'vip'] = name === 'client' ? clientValue(String(value)) : value;
    } catch {
      state.complaint = `"${value}" is no client: write 192.0.2.1:1701 or [2001:db8::1]:1701`;
      return 'draw';
    }
  }
  Object.assign(state, found);
  return 'look';
}
