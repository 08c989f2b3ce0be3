/** The option negotiation automaton against the table of RFC 1661 §4.1. */
import { describe, expect, test } from 'vitest';
import {
  type ControlHost,
  ControlProtocol,
  type FinishReason,
  STATE,
  type Verdict,
} from '../../../src/protocol/ppp/control-protocol.js';
import { PppCounters } from '../../../src/protocol/ppp/counters.js';

const PROTOCOL = 0x8021;
const TIMERS = { restart: 3, maxConfigure: 2, maxTerminate: 2, maxFailure: 5 };
const GOOD = Uint8Array.of(1, 2);
/** An option that this end does not like. */
const BAD = Uint8Array.of(2, 2);
const OWN = Uint8Array.of(9, 2);
const SENT: Readonly<Record<number, string>> = { 1: 'scr', 2: 'sca', 3: 'scn', 4: 'scn', 5: 'str', 6: 'sta', 7: 'scj' };

/** A protocol with one option, and a diary of what it does in the words of the RFC. */
class Diary extends ControlProtocol {
  readonly said: string[];
  lastId = 0;
  constructor() {
    const said: string[] = [];
    const counters = new PppCounters();
    let lastId = 0;
    const host: ControlHost = {
      timers: TIMERS,
      counters,
      random: (length) => new Uint8Array(length),
      send: (_protocol, code, id) => {
        said.push(SENT[code]);
        if (code === 1) lastId = id;
      },
      layerUp: () => void said.push('tlu'),
      layerDown: () => void said.push('tld'),
      layerFinished: (_layer, _reason: FinishReason) => void said.push('tlf'),
    };
    super(PROTOCOL, host);
    this.said = said;
    Object.defineProperty(this, 'lastId', { get: () => lastId });
  }
  protected override write(out: number[]): void {
    out.push(...OWN);
  }
  protected override judge(body: Uint8Array, verdict: Verdict): void {
    if (body[0] === BAD[0]) verdict.reject(body, 0);
  }
  protected override follow(): boolean {
    return true;
  }
  protected override renounce(): boolean {
    return true;
  }
  protected override agreed(): boolean {
    return true;
  }
  protected override reset(): void {}
}

const EVENTS: Readonly<Record<string, (p: Diary) => void>> = {
  Up: (p) => p.lowerUp(0),
  Down: (p) => p.lowerDown(0),
  Open: (p) => p.open(0),
  Close: (p) => p.close(0),
  'TO+': (p) => p.tick(Math.min(p.deadline, 1e9)),
  'RCR+': (p) => p.receive(1, 77, GOOD, 0),
  /** On the way to a state. */
  earlier: (p) => p.receive(1, 70, GOOD, 0),
  'RCR-': (p) => p.receive(1, 78, BAD, 0),
  RCA: (p) => p.receive(2, p.lastId, OWN, 0),
  RCN: (p) => p.receive(3, p.lastId, OWN, 0),
  RTR: (p) => p.receive(5, 5, new Uint8Array(0), 0),
  RTA: (p) => p.receive(6, 5, new Uint8Array(0), 0),
  'RXJ+': (p) => p.receive(7, 5, Uint8Array.of(13, 0, 0, 4), 0),
  'RXJ-': (p) => p.receive(7, 5, Uint8Array.of(1, 0, 0, 4), 0),
};

/** How each state is reached. */
const WAYS: readonly (readonly string[])[] = [
  [],
  ['Open'],
  ['Up'],
  ['Open', 'Up', 'TO+', 'TO+'],
  ['Open', 'Up', 'earlier', 'RCA', 'Close'],
  ['Open', 'Up', 'earlier', 'RCA', 'RTR'],
  ['Open', 'Up'],
  ['Open', 'Up', 'RCA'],
  ['Open', 'Up', 'earlier'],
  ['Open', 'Up', 'earlier', 'RCA'],
];

/**
 * `actions/state` for the states 0 to 9; empty: not to be had there. Where it says less than the RFC: answers to a request
 * that was answered already have an old identifier and are silently discarded (§5.2), so that 6x never comes; the
 * restart timer of stopping runs once (zrc); a protocol that the peer does not know at all (RXJ−) gets no Terminate-Request.
 */
const TABLE: Readonly<Record<string, readonly string[]>> = {
  Up: ['/2', 'scr/6', '', '', '', '', '', '', '', ''],
  Down: ['', '', '/0', '/1', '/0', '/1', '/1', '/1', '/1', 'tld/1'],
  Open: ['/1', '/1', 'scr/6', '/3', '/5', '/5', '/6', '/7', '/8', '/9'],
  Close: ['/0', '/0', '/2', '/2', '/4', '/4', 'str/4', 'str/4', 'str/4', 'str tld/4'],
  'TO+': ['', '', '', '', 'str/4', 'tlf/3', 'scr/6', 'scr/6', 'scr/8', ''],
  'RCR+': ['/0', '/1', 'sta/2', 'scr sca/8', '/4', '/5', 'sca/8', 'sca tlu/9', 'sca/8', 'tld scr sca/8'],
  'RCR-': ['/0', '/1', 'sta/2', 'scr scn/6', '/4', '/5', 'scn/6', 'scn/7', 'scn/6', 'tld scr scn/6'],
  RCA: ['/0', '/1', 'sta/2', 'sta/3', '/4', '/5', '/7', '/7', 'tlu/9', '/9'],
  RCN: ['/0', '/1', 'sta/2', 'sta/3', '/4', '/5', 'scr/6', '/7', 'scr/8', '/9'],
  RTR: ['/0', '/1', 'sta/2', 'sta/3', 'sta/4', 'sta/5', 'sta/6', 'sta/6', 'sta/6', 'sta tld/5'],
  RTA: ['/0', '/1', '/2', '/3', 'tlf/2', 'tlf/3', '/6', '/6', '/8', 'tld scr/6'],
  'RXJ+': ['/0', '/1', '/2', '/3', '/4', '/5', '/6', '/7', '/8', '/9'],
  'RXJ-': ['tlf/2', 'tlf/3', 'tlf/2', 'tlf/3', 'tlf/2', 'tlf/3', 'tlf/3', 'tlf/3', 'tlf/3', 'tld tlf/3'],
};

function inState(state: number): Diary {
  const protocol = new Diary();
  for (const event of WAYS[state]) EVENTS[event](protocol);
  expect(protocol.state).toBe(state);
  protocol.said.length = 0;
  return protocol;
}

describe.each(Object.keys(TABLE))('%s', (event) => {
  const cases = TABLE[event].map((expected, state) => [state, expected] as const).filter(([, text]) => text !== '');
  // Below closed nothing can be received.
  const possible = cases.filter(([state]) => !(event === 'RXJ-' && state < STATE.closed));

  test.each(possible)('in state %i: %s', (state, expected) => {
    const protocol = inState(state);
    EVENTS[event](protocol);
    expect(`${protocol.said.join(' ')}/${protocol.state}`).toBe(expected);
  });
});

describe('time', () => {
  test.each([
    [STATE.closing, 'str str tlf/2'],
    [STATE.reqSent, 'scr tlf/3'],
    [STATE.ackSent, 'scr tlf/3'],
  ])('state %i runs out', (state, expected) => {
    const protocol = inState(state);
    if (state === STATE.closing) protocol.said.push('str');
    for (let now = 1000; now < 5000; now += 1000) protocol.tick(now);
    expect(`${protocol.said.join(' ')}/${protocol.state}`).toBe(expected);
  });

  test('who begins late is told again at once what it cannot have heard', () => {
    for (const [now, said] of [
      [0.1, ['sca']],
      [1, ['scr', 'sca']],
    ] as const) {
      const protocol = inState(STATE.reqSent);
      const { lastId } = protocol;
      protocol.receive(1, 77, GOOD, now);
      expect([protocol.said, protocol.state, protocol.lastId]).toEqual([said, STATE.ackSent, lastId]);
      protocol.said.length = 0;
      protocol.receive(1, 78, GOOD, now + 1);
      expect(protocol.said).toEqual(['sca']);
    }
  });

  test('an open layer repeats its answer to a repeated request three times, then takes it for a new beginning', () => {
    const protocol = inState(STATE.opened);
    for (let n = 0; n < 3; n++) EVENTS.earlier(protocol);
    expect([protocol.said, protocol.state]).toEqual([['sca', 'sca', 'sca'], STATE.opened]);
    EVENTS.earlier(protocol);
    expect([protocol.said.slice(3), protocol.state]).toEqual([['tld', 'scr', 'sca'], STATE.ackSent]);
  });
});
