/** The project's own source as text: files, their imports, code without comments. For tests of house rules. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, posix } from 'node:path';

const NOT_OURS = new Set(['node_modules', 'dist', 'build', 'prebuilds', 'coverage', '.git']);

/** Paths below `folder`, relative to the root of the project, that end in one of `suffixes`. */
export function filesBelow(folder: string, suffixes: readonly string[]): string[] {
  const found: string[] = [];
  const walk = (path: string): void => {
    for (const name of readdirSync(path)) {
      if (NOT_OURS.has(name)) continue;
      const inner = join(path, name);
      if (statSync(inner).isDirectory()) walk(inner);
      else if (suffixes.some((suffix) => name.endsWith(suffix))) found.push(posix.normalize(inner));
    }
  };
  walk(folder);
  return found.sort();
}

export function read(path: string): string {
  return readFileSync(path, 'utf8');
}

/** Strings stay, comments go. */
export function withoutComments(source: string): string {
  const token = /("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)|\/\/[^\n]*|\/\*[\s\S]*?\*\//g;
  return source.replace(token, (_all, text: string | undefined) => text ?? '');
}

/** Neither strings nor comments. */
export function codeOnly(source: string): string {
  return withoutComments(source).replace(/"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\$])*`/g, "''");
}

export interface Import {
  /** As written: `../wire/ipv4.js`, `node:fs`, `zod`. */
  readonly specifier: string;
  /** Nothing of it is left when the program runs. */
  readonly typeOnly: boolean;
}

/** Every import, re-export and dynamic import of a TypeScript file. */
export function importsOf(source: string): Import[] {
  const code = withoutComments(source);
  const found: Import[] = [];
  const statement = /^(?:import|export)\s+(type\s+)?(?:([\w*\s{},$]+?)\s+from\s+)?['"]([^'"]+)['"]/gm;
  for (const [, type, names, specifier] of code.matchAll(statement)) {
    const braces = /^\{([^}]*)\}$/.exec((names ?? '').trim());
    const named =
      braces?.[1]
        .split(',')
        .map((name) => name.trim())
        .filter((name) => name !== '') ?? [];
    const onlyTypes = named.length > 0 && named.every((name) => name.startsWith('type '));
    found.push({ specifier, typeOnly: type !== undefined || onlyTypes });
  }
  for (const [, specifier] of code.matchAll(/\bimport\(\s*['"]([^'"]+)['"]\s*\)/g))
    found.push({ specifier, typeOnly: false });
  return found;
}

/** The file that a relative specifier of `file` names, or null for packages. */
export function target(file: string, specifier: string): string | null {
  if (!specifier.startsWith('.')) return null;
  return posix.normalize(posix.join(posix.dirname(file), specifier)).replace(/\.js$/, '.ts');
}
