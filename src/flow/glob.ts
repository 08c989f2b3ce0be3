/**
 * Patterns for names: `*` stands for any run of bytes, `?` for one character, a backslash takes the meaning from what
 * follows. Letters of ASCII match in either case, as host names do (RFC 4343); everything else byte for byte, in UTF-8.
 */

const STAR = -1;
const ANY_ONE = -2;

/** Characters that a pattern may have: a comparison costs at most this times the length of the name. */
export const PATTERN_LIMIT = 255;

export class Glob {
  /** Bytes in lower case, STAR or ANY_ONE; never two stars one after the other. */
  readonly #tokens: Int16Array;

  constructor(readonly text: string) {
    const tokens: number[] = [];
    const bytes = new TextEncoder().encode(text);
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i];
      if (byte === 0x5c && i + 1 < bytes.length) tokens.push(lower(bytes[++i]));
      else if (byte === 0x2a) {
        if (tokens[tokens.length - 1] !== STAR) tokens.push(STAR);
      } else tokens.push(byte === 0x3f ? ANY_ONE : lower(byte));
    }
    this.#tokens = Int16Array.from(tokens);
  }

  /** Does the whole of these bytes match? Time is bounded by the product of both lengths, nothing is allocated. */
  matches(view: DataView, offset: number, length: number): boolean {
    const tokens = this.#tokens;
    let at = 0;
    let token = 0;
    let star = -1; // the last star passed, and where in the name the rest behind it is tried next
    let retry = 0;
    while (at < length) {
      const wanted = token < tokens.length ? tokens[token] : 0x100;
      if (wanted === STAR) {
        star = token++;
        retry = at;
      } else if (wanted === ANY_ONE) {
        at = nextCharacter(view, offset, at, length);
        token++;
      } else if (wanted === lower(view.getUint8(offset + at))) {
        at++;
        token++;
      } else if (star >= 0) {
        token = star + 1;
        at = ++retry;
      } else return false;
    }
    while (token < tokens.length && tokens[token] === STAR) token++;
    return token === tokens.length;
  }

  /** Every name that `other` matches is matched here too. May say no where it is so, never yes where it is not. */
  covers(other: Glob): boolean {
    const mine = this.#tokens;
    const theirs = other.#tokens;
    // The other's wildcards are taken for characters that only a wildcard of ours as wide can stand for.
    const fits = (a: number, b: number): boolean => {
      for (; a < mine.length; a++, b++) {
        if (mine[a] === STAR) {
          for (let from = b; from <= theirs.length; from++) if (fits(a + 1, from)) return true;
          return false;
        }
        if (b >= theirs.length || theirs[b] === STAR) return false;
        if (mine[a] === ANY_ONE ? !isWhole(theirs[b]) : mine[a] !== theirs[b]) return false;
      }
      return b === theirs.length;
    };
    return starsOf(mine) <= STARS_COMPARED && fits(0, 0);
  }

  /** It matches every name, the empty one too. */
  get matchesAll(): boolean {
    return this.#tokens.length === 1 && this.#tokens[0] === STAR;
  }
}

/** Comparing two patterns tries each place for each star: more stars than a person writes are not compared. */
const STARS_COMPARED = 3;

function starsOf(tokens: Int16Array): number {
  let stars = 0;
  for (const token of tokens) if (token === STAR) stars++;
  return stars;
}

/** A `?` of the other pattern, or a character that is one byte long. */
function isWhole(token: number): boolean {
  return token === ANY_ONE || (token >= 0 && token < 0x80);
}

function lower(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte;
}

/** Behind the character at `at`: the bytes that continue one in UTF-8 go with it. */
function nextCharacter(view: DataView, offset: number, at: number, length: number): number {
  do at++;
  while (at < length && (view.getUint8(offset + at) & 0xc0) === 0x80);
  return at;
}
