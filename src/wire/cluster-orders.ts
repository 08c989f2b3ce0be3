/**
 * Orders of operators about servers, as members of a cluster tell them one another: JSON, a list of objects in a notice.
 * Each is a register of its own, the state or the weight of one server; the higher stamp wins, then the higher number.
 */
import { NOTICE_LIMIT } from './cluster-notice.js';

/** What operators order, then what the member that inactivates servers has done: emptied, closed, off, back, spared. */
export const ORDER_ACTIONS = [
  'enable',
  'disable',
  'drain',
  'activate',
  'inactivate',
  'emptied',
  'closed',
  'off',
  'back',
  'spared',
] as const;
export type OrderAction = (typeof ORDER_ACTIONS)[number];

export interface ServerOrder {
  readonly server: string;
  readonly what:
    | { readonly action: OrderAction; readonly deadlineSeconds: number | null }
    | { readonly weight: number };
  /** Rises with every order that its giver knew of. */
  readonly stamp: number;
  /** Number of the member that it was given at. */
  readonly by: number;
}

const NAME_LIMIT = 63;
const WEIGHT_LIMIT = 1000;
const DEADLINE_LIMIT = 10 ** 9;
const encoder = new TextEncoder();

/** Bodies of notices, as few as hold them. */
export function emitOrders(orders: readonly ServerOrder[]): Uint8Array[] {
  const bodies: Uint8Array[] = [];
  let items: string[] = [];
  let length = 2;
  const end = (): void => {
    if (items.length > 0) bodies.push(encoder.encode(`[${items.join(',')}]`));
    items = [];
    length = 2;
  };
  for (const { server, what, stamp, by } of orders) {
    const item = JSON.stringify(
      'weight' in what
        ? { s: server, w: what.weight, t: stamp, b: by }
        : {
            s: server,
            a: what.action,
            ...(what.deadlineSeconds === null ? {} : { d: what.deadlineSeconds }),
            t: stamp,
            b: by,
          },
    );
    const bytes = encoder.encode(item).length + 1;
    if (length + bytes > NOTICE_LIMIT) end();
    items.push(item);
    length += bytes;
  }
  end();
  return bodies;
}

/** Those of any bytes that can be read; null: it is no list of orders. */
export function readOrders(body: Uint8Array): ServerOrder[] | null {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    return null;
  }
  return Array.isArray(value) ? value.map(orderOf).filter((order) => order !== null) : null;
}

function orderOf(value: unknown): ServerOrder | null {
  if (typeof value !== 'object' || value === null) return null;
  const { s: server, a: action, w: weight, d: deadline, t: stamp, b: by } = value as Record<string, unknown>;
  if (typeof server !== 'string' || server.length === 0 || server.length > NAME_LIMIT) return null;
  if (!isWhole(stamp, Number.MAX_SAFE_INTEGER) || !isWhole(by, 255) || by === 0) return null;
  if (action === undefined) return isWhole(weight, WEIGHT_LIMIT) ? { server, what: { weight }, stamp, by } : null;
  const known = ORDER_ACTIONS.find((word) => word === action);
  if (known === undefined || weight !== undefined) return null;
  if (deadline !== undefined && !(typeof deadline === 'number' && deadline >= 0 && deadline <= DEADLINE_LIMIT))
    return null;
  return { server, what: { action: known, deadlineSeconds: (deadline as number | undefined) ?? null }, stamp, by };
}

function isWhole(value: unknown, most: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= most;
}
