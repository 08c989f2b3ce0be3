/** The text of a configuration file as a tree that knows where everything stands. */
import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
} from 'yaml';
import type { ConfigProblem } from './compiled.js';

/** Keys and indices from the top of the file. */
export type Path = readonly (string | number)[];

/** 1-based; 0 when unknown. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

/** More aliases than a person writes: what a file grows to by them is bounded (yaml counts and refuses). */
const ALIAS_LIMIT = 1000;

export class ConfigSource {
  readonly file: string;
  /** Syntax errors (the tree is then a guess) and doubtful syntax. */
  readonly problems: readonly ConfigProblem[];
  /** Plain data, or undefined when the text cannot be read as such. */
  readonly data: unknown;
  readonly #document: Document.Parsed;
  readonly #lines = new LineCounter();

  constructor(file: string, text: string) {
    this.file = file;
    this.#document = parseDocument(text, {
      lineCounter: this.#lines,
      version: '1.2',
      prettyErrors: false,
      stringKeys: true,
      logLevel: 'error',
    });
    const problems = [
      ...this.#document.errors.map((error) =>
        this.#problem('error', error.pos[0], sentence(error.code, error.message)),
      ),
      ...this.#document.warnings.map((warning) => this.#problem('error', warning.pos[0], lowerFirst(warning.message))),
    ];
    let data: unknown;
    // A key that is written twice leaves the tree sound; anything else makes every later message doubtful.
    if (this.#document.errors.every((error) => error.code === 'DUPLICATE_KEY')) {
      try {
        data = this.#document.toJS({ maxAliasCount: ALIAS_LIMIT });
      } catch (error) {
        problems.push(this.#problem('error', 0, lowerFirst((error as Error).message)));
      }
    }
    this.data = data;
    this.problems = problems;
  }

  /** Where the value at `path` stands; of a value that is absent, the nearest thing around it that is there. */
  placeOf(path: Path): Place {
    let node: unknown = this.#document.contents;
    let found = positionOf(node);
    for (const key of path) {
      const child = this.#child(node, key);
      if (child === null) break;
      node = child.value;
      found = positionOf(node) ?? positionOf(child.key) ?? found;
    }
    return this.#place(found ?? 0);
  }

  /** Where the key at the end of `path` stands, for keys that should not be there and values that are too few. */
  placeOfKey(path: Path): Place {
    const parent = this.#resolve(path.slice(0, -1));
    const child = this.#child(parent, path[path.length - 1]);
    const position = child === null ? undefined : (positionOf(child.key) ?? positionOf(child.value));
    return position === undefined ? this.placeOf(path) : this.#place(position);
  }

  problem(severity: ConfigProblem['severity'], path: Path, message: string, place = this.placeOf(path)): ConfigProblem {
    return { severity, file: this.file, ...place, path: path.join('.'), message };
  }

  #resolve(path: Path): unknown {
    let node: unknown = this.#document.contents;
    for (const key of path) node = this.#child(node, key)?.value ?? null;
    return node;
  }

  /** Follows aliases: what is inside one stands at its anchor. */
  #child(node: unknown, key: string | number): { key: unknown; value: unknown } | null {
    const target = isAlias(node) ? node.resolve(this.#document) : node;
    if (isMap(target)) {
      const pair = target.items.find(
        (item: Pair) => String(isScalar(item.key) ? item.key.value : item.key) === String(key),
      );
      return pair === undefined ? null : { key: pair.key, value: pair.value };
    }
    if (isSeq(target) && typeof key === 'number' && key < target.items.length)
      return { key: null, value: target.items[key] };
    return null;
  }

  #problem(severity: ConfigProblem['severity'], position: number, message: string): ConfigProblem {
    return { severity, file: this.file, ...this.#place(position), path: '', message };
  }

  #place(position: number): Place {
    const { line, col } = this.#lines.linePos(position);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  }
}

function positionOf(node: unknown): number | undefined {
  return isNode(node) ? ((node as Node).range?.[0] ?? undefined) : undefined;
}

function sentence(code: string, message: string): string {
  if (code === 'DUPLICATE_KEY') return 'the key is written twice';
  if (code === 'NON_STRING_KEY') return 'a key is a word';
  if (code === 'MULTIPLE_DOCS') return 'one file holds one configuration: leave out what begins with ---';
  return lowerFirst(message);
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
