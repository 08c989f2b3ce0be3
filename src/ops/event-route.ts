/** The event stream as an HTTP answer: JSON lines, with back-pressure. */
import type { FastifyReply } from 'fastify';
import { DesignatorError } from '../errors.js';
import { type ApplianceEvent, EVENT_TYPES, type EventFilter, type EventLog, type EventType } from './events.js';

export const EVENTS_MEDIA_TYPE = 'application/x-ndjson';

export interface EventQuery {
  /** Types, comma between them. */
  readonly type?: string;
  readonly vip?: string;
  readonly server?: string;
  readonly client?: string;
  /** So far back, of what is remembered. */
  readonly sinceSeconds?: number;
  /** False: only what is remembered. */
  readonly follow?: boolean;
  /** End after so many; without `follow` the last so many. */
  readonly count?: number;
}

/** Errors: TD_USAGE a type that there is not. */
export function eventTypes(text: string): EventType[] {
  const names = text.split(',').filter((name) => name !== '');
  const unknown = names.find((name) => !Object.hasOwn(EVENT_TYPES, name));
  if (unknown === undefined) return names as EventType[];
  throw new DesignatorError(
    'TD_USAGE',
    `no event has the type "${unknown}"; there are ${Object.keys(EVENT_TYPES).join(', ')}`,
  );
}

/** Sends until the reader goes, `count` are sent or the log closes. `open` gets a function that ends it from outside. */
export function sendEvents(reply: FastifyReply, log: EventLog, query: EventQuery, open: Set<() => void>): void {
  const { type, vip, server, client, sinceSeconds, follow, count } = query;
  const filter: EventFilter = {
    ...(type === undefined ? {} : { types: eventTypes(type) }),
    ...(vip === undefined ? {} : { vip }),
    ...(server === undefined ? {} : { server }),
    ...(client === undefined ? {} : { client }),
    ...(sinceSeconds === undefined ? {} : { sinceMs: Date.now() - sinceSeconds * 1000 }),
  };
  if (follow === false) {
    void reply.type(EVENTS_MEDIA_TYPE).send(Buffer.from(log.recent(filter, count).map(line).join('')));
    return;
  }
  const stream = log.open(filter);
  reply.hijack();
  const response = reply.raw;
  response.writeHead(200, { 'content-type': EVENTS_MEDIA_TYPE, 'cache-control': 'no-store' });
  // The reader learns at once that the stream runs, before the first event comes.
  response.flushHeaders();
  const end = (): void => stream.close();
  open.add(end);
  let corked = false;
  let left = count ?? Number.POSITIVE_INFINITY;
  response.on('drain', () => stream.resume());
  response.on('close', () => {
    open.delete(end);
    stream.close();
  });
  stream.onData((event) => {
    if (left === 0 || response.writableEnded || response.destroyed) return;
    if (!corked) {
      // What comes in one turn of the event loop goes out together.
      corked = true;
      response.cork();
      setImmediate(() => {
        corked = false;
        response.uncork();
      });
    }
    if (!response.write(line(event))) stream.pause();
    if (--left === 0) stream.close();
  });
  stream.onEnd(() => {
    if (!response.destroyed) response.end();
  });
  if (left === 0) stream.close();
}

function line(event: ApplianceEvent): string {
  return `${JSON.stringify(event)}\n`;
}
