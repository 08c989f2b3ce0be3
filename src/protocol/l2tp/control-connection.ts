/**
 * An L2TPv2 control connection as its initiator lives through it: RFC 2661 §7.2, states idle, wait-ctl-reply and
 * established, and its end. Bytes and time in; bytes and events out. Sessions, the responder's side and authentication
 * have their place here and are not needed by the active check.
 */
import { buildMessage, type L2tpMessage, readMessage } from '../../tunnels/l2tp/message.js';
import { AVP_ASSIGNED_TUNNEL_ID, AVP_RESULT_CODE } from '../../tunnels/l2tp/avp-table.js';
import { HELLO, SCCCN, SCCRP, SCCRQ, STOPCCN } from '../../tunnels/l2tp/message-table.js';
import { missingAvps } from '../../tunnels/l2tp/message.js';
import { STOP_RESULT } from './codes.js';
import { DEFAULT_WINDOW, ReliableDelivery, type ReliableOptions } from './reliable-delivery.js';

const AVP_PROTOCOL_VERSION = 2;
const AVP_FRAMING = 3;
const AVP_HOST_NAME = 7;
const AVP_VENDOR_NAME = 8;
const AVP_RECEIVE_WINDOW = 10;
/** Version 1, revision 0 (RFC 2661 §4.4.3). */
const VERSION = { version: 1, revision: 0 };
/** Synchronous and asynchronous. */
const FRAMING_BOTH = 3;

export type ControlState = 'idle' | 'wait-reply' | 'replied' | 'established' | 'closing' | 'closed';

export type ControlOutcome =
  /** The peer has answered with an SCCRP: `connect` or `stop`. */
  | { readonly type: 'replied'; readonly message: L2tpMessage }
  | { readonly type: 'established' }
  /** `by`: who ended it; 'silence' when a message was never acknowledged. Codes of the StopCCN, 0 without. */
  | {
      readonly type: 'closed';
      readonly by: 'peer' | 'us' | 'silence';
      readonly result: number;
      readonly error: number;
    };

export interface ControlConnectionOptions {
  /** The tunnel id that this end assigns, 1 … 65535. */
  readonly localId: number;
  readonly hostName: string;
  readonly vendorName?: string;
  /** Receive Window Size that is told; default 4. */
  readonly window?: number;
  readonly reliable?: ReliableOptions;
}

export class ControlConnection {
  state: ControlState = 'idle';
  /** The id that the peer assigned, 0 unknown. */
  peerId = 0;
  readonly #o: ControlConnectionOptions;
  readonly #delivery: ReliableDelivery;
  #outcomes: ControlOutcome[] = [];

  constructor(options: ControlConnectionOptions) {
    this.#o = options;
    this.#delivery = new ReliableDelivery(options.reliable);
  }

  get localId(): number {
    return this.#o.localId;
  }

  /** Asks the peer for a control connection. */
  open(): void {
    if (this.state !== 'idle') return;
    const { localId, hostName, vendorName, window = DEFAULT_WINDOW } = this.#o;
    const avps = [
      { type: AVP_PROTOCOL_VERSION, value: VERSION },
      { type: AVP_FRAMING, value: FRAMING_BOTH },
      { type: AVP_HOST_NAME, value: hostName },
      ...(vendorName === undefined ? [] : [{ type: AVP_VENDOR_NAME, value: vendorName }]),
      { type: AVP_ASSIGNED_TUNNEL_ID, value: localId },
      { type: AVP_RECEIVE_WINDOW, value: window },
    ];
    this.#delivery.send(buildMessage({ type: SCCRQ, avps }));
    this.state = 'wait-reply';
  }

  /** Accepts the peer's answer. */
  connect(): void {
    if (this.state !== 'replied') return;
    this.#delivery.send(buildMessage({ type: SCCCN }));
    this.state = 'established';
    this.#outcomes.push({ type: 'established' });
  }

  /** Ends it. Nothing is said where the peer does not know of it yet. */
  stop(result: number = STOP_RESULT.clear, error = 0): void {
    if (this.state === 'closing' || this.state === 'closed') return;
    if (this.state !== 'idle') {
      const value = error === 0 ? { result } : { result, error };
      const avps = [
        { type: AVP_ASSIGNED_TUNNEL_ID, value: this.localId },
        { type: AVP_RESULT_CODE, value: value as { result: number; error: number } },
      ];
      this.#delivery.send(buildMessage({ type: STOPCCN, avps }));
    }
    this.state = this.state === 'idle' ? 'closed' : 'closing';
  }

  /** A UDP payload of the peer. False when it is no message of this connection; nothing has happened then. */
  receive(payload: Uint8Array, now: number): boolean {
    const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
    const message = readMessage(view, 0, payload.byteLength);
    if (typeof message === 'number' || message.tunnel !== this.localId || this.state === 'idle') return false;
    const received = this.#delivery.receive(message.ns, message.nr, message.type >= 0, now);
    if (received === 'new' && message.vendor === 0) this.#act(message);
    if (this.state === 'closing' && this.#delivery.idle) this.#close('us', 0, 0);
    return true;
  }

  #act(message: L2tpMessage): void {
    switch (message.type) {
      case SCCRP:
        if (this.state === 'closing' || this.state === 'closed') return this.#learnPeer(message);
        if (this.state !== 'wait-reply') return this.stop(STOP_RESULT.fsm);
        this.#learnPeer(message);
        if (missingAvps(message).length > 0 || this.peerId === 0) return this.stop(STOP_RESULT.error, 6);
        this.state = 'replied';
        this.#outcomes.push({ type: 'replied', message });
        return;
      case STOPCCN: {
        this.#learnPeer(message);
        const value = message.avps.find(({ vendor, type }) => vendor === 0 && type === AVP_RESULT_CODE)?.value;
        const codes = (typeof value === 'object' ? value : {}) as { result?: number; error?: number };
        return this.#close('peer', codes?.result ?? 0, codes?.error ?? 0);
      }
      case HELLO:
        return;
      default:
        // Sessions are nobody's here: their messages are acknowledged and let go.
        if (this.state === 'wait-reply') this.stop(STOP_RESULT.fsm);
    }
  }

  #learnPeer(message: L2tpMessage): void {
    const of = (wanted: number): unknown =>
      message.avps.find(({ vendor, type, hidden }) => vendor === 0 && type === wanted && !hidden)?.value;
    const id = of(AVP_ASSIGNED_TUNNEL_ID);
    if (typeof id === 'number') this.peerId = id;
    const window = of(AVP_RECEIVE_WINDOW);
    if (typeof window === 'number') this.#delivery.setPeerWindow(window);
  }

  #close(by: 'peer' | 'us' | 'silence', result: number, error: number): void {
    if (this.state === 'closed') return;
    this.state = 'closed';
    this.#outcomes.push({ type: 'closed', by, result, error });
  }

  /** Payloads to be sent to the peer now. A closed connection still acknowledges. */
  output(now: number): Uint8Array[] {
    const messages: Uint8Array[] = [];
    this.#delivery.output(now, this.peerId, messages);
    if (this.#delivery.failed) {
      this.#close('silence', 0, 0);
      return [];
    }
    return messages;
  }

  /** What has happened since the last call. */
  outcomes(): ControlOutcome[] {
    const outcomes = this.#outcomes;
    this.#outcomes = [];
    return outcomes;
  }

  /** When `output` has to be called next, if nothing comes before. */
  get nextTime(): number {
    return this.#delivery.nextTime;
  }
}
