/** What the schema says about every key, for editors (JSON schema) and for `docs/configuration.md` (rows). */
import { z } from 'zod';
import { configSchema } from './schema.js';

export interface KeyRow {
  /** `vips[].servers[].weight` */
  readonly key: string;
  readonly value: string;
  /** As written in YAML, or null: it must be given, or absent means that there is none. */
  readonly default: string | null;
  readonly required: boolean;
  readonly meaning: string;
}

/** JSON Schema, draft 2020-12, of the file as it is written. */
export function jsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(configSchema, { io: 'input' }) as Record<string, unknown>;
  return { ...schema, title: 'tunnel-designator configuration' };
}

interface Node {
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly default?: unknown;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Node>>;
  readonly required?: readonly string[];
  readonly items?: Node;
  readonly anyOf?: readonly Node[];
  readonly minimum?: number;
  readonly maximum?: number;
}

/** One row for each key that takes a value of its own, in the order of the schema; `prefix` is where it stands in the file. */
export function keyRows(schema: z.ZodType = configSchema, prefix = ''): KeyRow[] {
  return rowsOf(z.toJSONSchema(schema, { io: 'input' }) as Node, prefix);
}

function rowsOf(node: Node, prefix: string): KeyRow[] {
  return Object.entries(node.properties ?? {}).flatMap(([name, child]) => {
    const key = prefix === '' ? name : `${prefix}.${name}`;
    const inner = child.anyOf?.find((option) => option.properties !== undefined) ?? child;
    if (inner.properties !== undefined) return rowsOf(inner, key);
    if (inner.items?.properties !== undefined) return rowsOf(inner.items, `${key}[]`);
    const written = child.default === undefined ? null : flow(child.default);
    const required = node.required?.includes(name) ?? false;
    return [{ key, value: kindOf(child), default: written, required, meaning: child.description ?? '' }];
  });
}

function kindOf(node: Node): string {
  if (node.anyOf !== undefined) {
    const options = [...new Set(node.anyOf.map((option) => (option.type === 'array' ? 'a list' : kindOf(option))))];
    return options.join(', ').replace(/, ([^,]*)$/, ' or $1');
  }
  if (node.enum !== undefined)
    return node.enum
      .map(flow)
      .join(', ')
      .replace(/, ([^,]*)$/, ' or $1');
  if (node.const !== undefined) return flow(node.const);
  if (node.type === 'integer') return range(node);
  if (node.type === 'boolean') return 'true or false';
  return node.type === 'string' ? 'text' : (node.type ?? 'text');
}

function range({ minimum, maximum }: Node): string {
  const known = minimum !== undefined && minimum > Number.MIN_SAFE_INTEGER && maximum !== undefined;
  return known ? `${minimum} … ${maximum}` : 'a number';
}

/** A value in YAML's flow style, as a person writes it. */
function flow(value: unknown): string {
  return Array.isArray(value) ? `[${value.map(flow).join(', ')}]` : String(value);
}
