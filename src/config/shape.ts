/** Runs the schema and puts what it finds into sentences with places. */
import type { z } from 'zod';
import type { ConfigProblem } from './compiled.js';
import { type ConfigInput, configSchema } from './schema.js';
import type { ConfigSource, Path } from './source.js';
import { suggestion } from './suggest.js';

type Issue = z.core.$ZodIssue;

/** The valid input, or null, and one problem for each thing that is wrong with its shape. */
export function checkShape(source: ConfigSource): { input: ConfigInput | null; problems: ConfigProblem[] } {
  return checkShapeOf(source, configSchema);
}

/** The same for a file of another schema. */
export function checkShapeOf<T extends z.ZodType>(
  source: ConfigSource,
  schema: T,
): { input: z.output<T> | null; problems: ConfigProblem[] } {
  if (source.data === null || source.data === undefined) {
    return { input: null, problems: [source.problem('error', [], 'the file is empty')] };
  }
  const result = schema.safeParse(source.data, { reportInput: true });
  if (result.success) return { input: result.data, problems: [] };
  return { input: null, problems: result.error.issues.flatMap((issue) => problemsOf(issue, [], source, schema)) };
}

function problemsOf(issue: Issue, above: Path, source: ConfigSource, schema: z.core.$ZodType): ConfigProblem[] {
  const path = [...above, ...(issue.path as (string | number)[])];
  if (issue.code === 'unrecognized_keys') {
    const valid = keysAt(path, schema);
    return issue.keys.map((key) => {
      const message = `unknown key${suggestion(key, valid)}${valid.length > 0 ? `: the keys here are ${valid.join(', ')}` : ''}`;
      return source.problem('error', [...path, key], message, source.placeOfKey([...path, key]));
    });
  }
  if ((issue.code === 'invalid_type' || issue.code === 'invalid_union') && issue.input === undefined) {
    return [source.problem('error', path, 'is missing', source.placeOfKey(path))];
  }
  if (issue.code === 'invalid_union') {
    const branch = branchOf(issue);
    if (branch !== undefined) return branch.flatMap((inner) => problemsOf(inner, path, source, schema));
  }
  return [source.problem('error', path, sentenceOf(issue))];
}

/** Of the alternatives of a union, the one that was meant: it fits in kind and fails deeper or later. */
function branchOf(issue: Extract<Issue, { code: 'invalid_union' }>): readonly Issue[] | undefined {
  const fits = issue.errors.filter((branch) => !branch.some((inner) => isWrongKind(inner)));
  return fits.length === 1 ? fits[0] : undefined;
}

function isWrongKind(issue: Issue): boolean {
  return (
    issue.path.length === 0 &&
    (issue.code === 'invalid_type' || issue.code === 'invalid_value' || issue.code === 'invalid_union')
  );
}

function sentenceOf(issue: Issue): string {
  switch (issue.code) {
    case 'invalid_type':
      // The schema's own words, where it has some, name the form that is wanted.
      if (!issue.message.startsWith('Invalid')) return issue.message;
      return `it must be ${KINDS[issue.expected] ?? issue.expected}, not ${shown(issue.input)}`;
    case 'invalid_value': {
      const values = issue.values.map(String);
      const hint = typeof issue.input === 'string' ? suggestion(issue.input, values) : '';
      return `it must be ${listed(values)}, not ${shown(issue.input)}${hint}`;
    }
    case 'too_small':
      return isSized(issue.origin)
        ? `it needs at least ${counted(issue.minimum, issue.origin)}`
        : `it must be at least ${issue.minimum}, not ${shown(issue.input)}`;
    case 'too_big':
      return isSized(issue.origin)
        ? `it may have at most ${counted(issue.maximum, issue.origin)}`
        : `it must be at most ${issue.maximum}, not ${shown(issue.input)}`;
    case 'invalid_union':
      return `it must be ${listed([...new Set(issue.errors.flatMap((branch) => branch.flatMap(kindsOf)))])}, not ${shown(issue.input)}`;
    default:
      return issue.message;
  }
}

function kindsOf(issue: Issue): string[] {
  if (issue.code === 'invalid_type') return [KINDS[issue.expected] ?? issue.expected];
  if (issue.code === 'invalid_value') return issue.values.map(String);
  if (issue.code === 'invalid_union') return issue.errors.flatMap((branch) => branch.flatMap(kindsOf));
  return [];
}

const KINDS: Readonly<Record<string, string>> = {
  string: 'text',
  int: 'a whole number',
  number: 'a whole number',
  boolean: 'true or false',
  object: 'a map of keys',
  array: 'a list',
};

function isSized(origin: string): boolean {
  return origin === 'array' || origin === 'string';
}

function counted(count: number | bigint, origin: string): string {
  return `${count} ${origin === 'array' ? 'item' : 'character'}${Number(count) === 1 ? '' : 's'}`;
}

function listed(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words[words.length - 1]}`;
}

function shown(value: unknown): string {
  if (value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a map';
  return JSON.stringify(value) ?? String(value);
}

/** Keys that the schema has at a place of the file. */
function keysAt(path: Path, top: z.core.$ZodType): string[] {
  let schema: z.core.$ZodType | undefined = top;
  for (const key of path) schema = below(schema, key);
  return Object.keys(shapeOf(schema) ?? {});
}

function below(schema: z.core.$ZodType | undefined, key: string | number): z.core.$ZodType | undefined {
  const inner = unwrap(schema);
  if (typeof key === 'number')
    return inner?._zod.def.type === 'array' ? (inner as z.core.$ZodArray)._zod.def.element : undefined;
  return shapeOf(inner)?.[key];
}

function shapeOf(schema: z.core.$ZodType | undefined): Readonly<Record<string, z.core.$ZodType>> | undefined {
  const inner = unwrap(schema);
  return inner?._zod.def.type === 'object' ? (inner as z.core.$ZodObject)._zod.def.shape : undefined;
}

/** What is inside optional, default and prefault, and the map or list of a union. */
function unwrap(schema: z.core.$ZodType | undefined): z.core.$ZodType | undefined {
  let inner = schema;
  for (;;) {
    const def = inner?._zod.def as
      | { type: string; innerType?: z.core.$ZodType; options?: readonly z.core.$ZodType[] }
      | undefined;
    if (def?.innerType !== undefined) inner = def.innerType;
    else if (def?.options !== undefined) {
      inner = def.options.find((option) => ['object', 'array'].includes(option._zod.def.type)) ?? def.options[0];
    } else return inner;
  }
}
