/**
 * Scripted L2TP endpoints for what real programs cannot be made to do: chosen ids, chosen ports, lost answers, numbered
 * data at a steady rate. They answer what RFC 2661 §5 and §7 ask for and know nothing of timers.
 */
import { waitFor } from '../../src/demo/lab/wait.js';
import { hasSequence, isControl, sessionId, tunnelId, writeDataHeader } from '../../src/tunnels/l2tp/header.js';
import { hideValue, unhideValue } from '../../src/tunnels/l2tp/hidden.js';
import { buildMessage, type L2tpMessage, type L2tpMessageInput, readMessage } from '../../src/tunnels/l2tp/message.js';
import type { AgentSocket, Datagram } from './udp-agent.js';

const TYPE = { SCCRQ: 1, SCCRP: 2, SCCCN: 3, StopCCN: 4, Hello: 6, ICRQ: 10, ICRP: 11, ICCN: 12, CDN: 14 } as const;
const AVP = {
  result: 1,
  version: 2,
  framing: 3,
  host: 7,
  tunnel: 9,
  window: 10,
  session: 14,
  serial: 15,
  connectSpeed: 24,
  frame: 19,
  vector: 36,
};
/** Address and control, LCP, then the number. */
const COUNTER_OFFSET = 4;
const RETRY_MS = 400;
const ANSWER_MS = 10_000;

export interface Sccrq {
  readonly from: string;
  readonly clientTunnel: number;
}

export interface Mark {
  readonly tunnel: number;
  readonly session: number;
  readonly number: number;
}

/** One end of a tunnel: ids by who assigned them. */
interface End {
  readonly local: number;
  readonly remote: number;
  ns: number;
  nr: number;
  localSession: number;
  remoteSession: number;
  address: string;
  port: number;
}

export function numbered(end: End, number: number, size: number): Uint8Array {
  const bytes = new Uint8Array(8 + size);
  const view = new DataView(bytes.buffer);
  const at = writeDataHeader(view, 0, end.remote, end.remoteSession, { payloadLength: size });
  bytes.set([0xff, 0x03, 0xc0, 0x21], at);
  view.setUint32(at + COUNTER_OFFSET, number);
  return bytes;
}

function readMark(data: Uint8Array): Mark {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (hasSequence(view, 0)) throw new Error('numbered data has no sequence numbers');
  return { tunnel: tunnelId(view, 0), session: sessionId(view, 0), number: view.getUint32(8 + COUNTER_OFFSET) };
}

function parse(data: Uint8Array): L2tpMessage | null {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (!isControl(view, 0)) return null;
  const message = readMessage(view, 0, data.byteLength);
  if (typeof message === 'number') throw new Error(`a malformed control message came: ${message}`);
  return message;
}

const assigned = (message: L2tpMessage, type: number): number =>
  Number(message.avps.find((avp) => avp.vendor === 0 && avp.type === type)?.value ?? 0);

const VECTOR = Uint8Array.from({ length: 16 }, (_, index) => 0x11 * index);

/** The Assigned Tunnel ID, in the clear or hidden behind a Random Vector (RFC 2661 §4.3). */
function tunnelAvps(local: number, secret?: string): NonNullable<L2tpMessageInput['avps']> {
  if (secret === undefined) return [{ type: AVP.tunnel, value: local }];
  const plain = Uint8Array.of(0, 2, local >> 8, local & 0xff, 0xaa);
  const value = hideValue(AVP.tunnel, new TextEncoder().encode(secret), VECTOR, plain);
  return [
    { type: AVP.vector, value: VECTOR },
    { type: AVP.tunnel, value, hidden: true },
  ];
}

/** What `tunnelAvps` has put there. */
function tunnelOf(message: L2tpMessage, secret: string): number {
  const avp = message.avps.find(({ type }) => type === AVP.tunnel);
  if (avp?.hidden !== true) return assigned(message, AVP.tunnel);
  const vector = message.avps.find(({ type }) => type === AVP.vector)?.value as Uint8Array;
  const plain = unhideValue(AVP.tunnel, new TextEncoder().encode(secret), vector, avp.value as Uint8Array);
  if (plain[0] !== 0 || plain[1] !== 2) throw new Error('the hidden tunnel id is none');
  return (plain[2] << 8) | plain[3];
}

const start = (type: number, tunnel: number, local: number, host: string, secret?: string): L2tpMessageInput => ({
  type,
  tunnel,
  avps: [
    { type: AVP.version, value: Uint8Array.of(1, 0) },
    { type: AVP.framing, value: 3 },
    { type: AVP.host, value: host },
    ...tunnelAvps(local, secret),
    { type: AVP.window, value: 4 },
  ],
});

export interface ServerScript {
  /** The tunnel id that this server assigns to its n-th tunnel (0 …). Default 100, 101 … */
  readonly assign?: (index: number) => number;
  /** Answers SCCRQs from this socket instead, and everything after them: a floating port. */
  readonly answerFrom?: AgentSocket;
  /** The first so many SCCRQs get no answer. */
  readonly silentFor?: number;
  readonly host?: string;
  /** The secret with which it hides its id from this tunnel of a client's; undefined: it does not. */
  readonly hide?: (clientTunnel: number) => string | undefined;
  /** Sends numbered data back. Default true. */
  readonly echo?: boolean;
}

export class ScriptedServer {
  /** Every SCCRQ, retransmissions included. */
  readonly requests: Sccrq[] = [];
  readonly stops: number[] = [];
  readonly received: Mark[] = [];
  readonly tunnels: End[] = [];
  readonly #byRequest = new Map<string, End>();

  constructor(
    readonly socket: AgentSocket,
    readonly script: ServerScript = {},
  ) {
    socket.onDatagram = (datagram) => this.#take(datagram);
    if (script.answerFrom !== undefined) script.answerFrom.onDatagram = (datagram) => this.#take(datagram);
  }

  #take({ data, address, port }: Datagram): void {
    const message = parse(data);
    if (message === null) return this.#takeData(data);
    if (message.type === TYPE.SCCRQ) return this.#takeRequest(message, address, port);
    const end = this.tunnels.find((tunnel) => tunnel.local === message.tunnel);
    if (end === undefined || message.type < 0) return;
    end.nr = (message.ns + 1) & 0xffff;
    end.address = address;
    end.port = port;
    if (message.type === TYPE.ICRQ) {
      end.remoteSession = assigned(message, AVP.session);
      end.localSession = end.local + 1000;
      return this.send(end, {
        type: TYPE.ICRP,
        session: end.remoteSession,
        avps: [{ type: AVP.session, value: end.localSession }],
      });
    }
    if (message.type === TYPE.StopCCN) this.stops.push(end.local);
    this.#reply(end, buildMessage({ tunnel: end.remote, ns: end.ns, nr: end.nr }));
  }

  #takeRequest(message: L2tpMessage, address: string, port: number): void {
    const clientTunnel = assigned(message, AVP.tunnel);
    const from = `${address}:${port}`;
    this.requests.push({ from, clientTunnel });
    if (this.requests.length <= (this.script.silentFor ?? 0)) return;
    const key = `${from}/${clientTunnel}`;
    let end = this.#byRequest.get(key);
    if (end === undefined) {
      const local = this.script.assign?.(this.tunnels.length) ?? 100 + this.tunnels.length;
      end = { local, remote: clientTunnel, ns: 1, nr: 1, localSession: 0, remoteSession: 0, address, port };
      this.tunnels.push(end);
      this.#byRequest.set(key, end);
    }
    this.#reply(
      end,
      buildMessage({
        ...start(TYPE.SCCRP, clientTunnel, end.local, this.script.host ?? 'scripted', this.script.hide?.(clientTunnel)),
        ns: 0,
        nr: 1,
      }),
    );
  }

  #takeData(data: Uint8Array): void {
    const mark = readMark(data);
    this.received.push(mark);
    const end = this.tunnels.find((tunnel) => tunnel.local === mark.tunnel);
    if (end !== undefined && this.script.echo !== false) this.#reply(end, numbered(end, mark.number, data.length - 8));
  }

  /** A control message of this server's own accord. */
  send(end: End, input: L2tpMessageInput): void {
    this.#reply(end, buildMessage({ tunnel: end.remote, ...input, ns: end.ns, nr: end.nr }));
    end.ns = (end.ns + 1) & 0xffff;
  }

  hello(end: End): void {
    this.send(end, { type: TYPE.Hello });
  }

  #reply(end: End, bytes: Uint8Array): void {
    (this.script.answerFrom ?? this.socket).send(bytes, end.address, end.port);
  }
}

export interface Stream {
  readonly sent: number;
  /** Numbers that came back, each once. */
  readonly returned: number;
  readonly lost: number;
  /** Came twice. */
  readonly repeated: number;
  /** Came after a higher number of the same tunnel. */
  readonly late: number;
}

/** A client socket and its tunnels to one address. */
export class ScriptedClient {
  readonly tunnels: End[] = [];
  /** Everything that came, by `address:port`. */
  readonly sources = new Set<string>();
  readonly messages: L2tpMessage[] = [];
  #marks: Mark[] = [];
  #waiting: ((message: L2tpMessage, from: Datagram) => boolean)[] = [];

  constructor(
    readonly socket: AgentSocket,
    readonly vip: string,
    readonly port = 1701,
    /** Shared with servers that hide their ids. */
    readonly secret = '',
  ) {
    socket.onDatagram = (datagram) => {
      this.sources.add(`${datagram.address}:${datagram.port}`);
      const message = parse(datagram.data);
      if (message === null) return void this.#marks.push(readMark(datagram.data));
      this.messages.push(message);
      this.#waiting = this.#waiting.filter((take) => !take(message, datagram));
    };
  }

  /** Sends an SCCRQ once and waits for nothing. */
  request(local: number): void {
    this.socket.send(buildMessage(start(TYPE.SCCRQ, 0, local, 'scripted-client')), this.vip, this.port);
  }

  /** A tunnel with one session. `local`: the tunnel id that this client assigns. Follows the server to its port. */
  async connect(local: number): Promise<End> {
    const sccrp = await this.#until(TYPE.SCCRP, local, () => this.request(local));
    const { address, port } = sccrp.from;
    const end: End = {
      local,
      remote: tunnelOf(sccrp.message, this.secret),
      ns: 1,
      nr: 1,
      localSession: local + 1,
      remoteSession: 0,
      address,
      port,
    };
    this.send(end, { type: TYPE.SCCCN });
    const request = this.#next(end, {
      type: TYPE.ICRQ,
      avps: [
        { type: AVP.session, value: end.localSession },
        { type: AVP.serial, value: local },
      ],
    });
    const icrp = await this.#until(TYPE.ICRP, local, () => this.socket.send(request, end.address, end.port));
    end.remoteSession = assigned(icrp.message, AVP.session);
    end.nr = 2;
    this.send(end, {
      type: TYPE.ICCN,
      session: end.remoteSession,
      avps: [
        { type: AVP.connectSpeed, value: 10_000_000 },
        { type: AVP.frame, value: 1 },
      ],
    });
    this.tunnels.push(end);
    return end;
  }

  send(end: End, input: L2tpMessageInput): void {
    this.socket.send(this.#next(end, input), end.address, end.port);
  }

  stop(end: End): void {
    this.send(end, {
      type: TYPE.StopCCN,
      avps: [
        { type: AVP.tunnel, value: end.local },
        { type: AVP.result, value: { code: 1 } },
      ],
    });
  }

  #next(end: End, input: L2tpMessageInput): Uint8Array {
    const bytes = buildMessage({ tunnel: end.remote, ...input, ns: end.ns, nr: end.nr });
    end.ns = (end.ns + 1) & 0xffff;
    return bytes;
  }

  /** Repeats `send` until the message comes that is meant for `local`. */
  async #until(type: number, local: number, send: () => void): Promise<{ message: L2tpMessage; from: Datagram }> {
    let found: { message: L2tpMessage; from: Datagram } | null = null;
    this.#waiting.push((message, from) => {
      if (message.type !== type || message.tunnel !== local) return false;
      found ??= { message, from };
      return true;
    });
    send();
    const again = setInterval(send, RETRY_MS);
    try {
      return await waitFor(`message ${type} for tunnel ${local}`, () => found, ANSWER_MS);
    } finally {
      clearInterval(again);
    }
  }

  /**
   * Numbered data in all tunnels in turn, `perSecond` in all, while `during` runs, and the count of what came back. The
   * servers must echo.
   */
  async stream(perSecond: number, during: () => Promise<unknown>, size = 100): Promise<Stream> {
    this.#marks = [];
    let sent = 0;
    const numbers = new Map<number, number>(this.tunnels.map((end) => [end.local, 0]));
    const began = performance.now();
    const pump = setInterval(() => {
      const due = Math.floor(((performance.now() - began) / 1000) * perSecond);
      const datagrams: Datagram[] = [];
      for (; sent < due; sent++) {
        const end = this.tunnels[sent % this.tunnels.length];
        const number = numbers.get(end.local) ?? 0;
        numbers.set(end.local, number + 1);
        datagrams.push({ data: numbered(end, number, size), address: end.address, port: end.port });
      }
      if (datagrams.length > 0) this.socket.sendAll(datagrams);
    }, 5);
    try {
      await during();
    } finally {
      clearInterval(pump);
    }
    await this.#quiet();
    return this.#count(sent);
  }

  /** Until nothing new has come for a while: what was lost stays away however long one waits. */
  async #quiet(): Promise<void> {
    let seen = -1;
    let since = performance.now();
    await waitFor('the last echo', () => {
      if (this.#marks.length !== seen) {
        seen = this.#marks.length;
        since = performance.now();
      }
      return performance.now() - since > 400;
    });
  }

  #count(sent: number): Stream {
    const seen = new Set<string>();
    const last = new Map<number, number>();
    let [repeated, late] = [0, 0];
    for (const { tunnel, number } of this.#marks) {
      const key = `${tunnel}/${number}`;
      if (seen.has(key)) repeated++;
      seen.add(key);
      if (number < (last.get(tunnel) ?? -1)) late++;
      else last.set(tunnel, number);
    }
    return { sent, returned: seen.size, lost: sent - seen.size, repeated, late };
  }
}
