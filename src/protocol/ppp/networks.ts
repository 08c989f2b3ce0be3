/** The network protocols of a link: IPCP and IPv6CP, which of them are served, and what came before they were opened. */
import { PPP_PROTOCOL } from '../../wire/ppp.js';
import { type ControlHost, type ControlProtocol, STATE } from './control-protocol.js';
import { Ipcp, NO_ADDRESS } from './ipcp.js';
import { Ipv6cp, NO_INTERFACE_ID } from './ipv6cp.js';
import type { NetworkAssignment, PppOptions } from './options.js';
import type { Resolved } from './resolve.js';
import type { PppSnapshot } from './snapshot.js';

const EMPTY = new Uint8Array(0);

export class Networks {
  ipcp: Ipcp | null = null;
  ipv6cp: Ipv6cp | null = null;
  assignment: NetworkAssignment | null = null;
  /** The peer's first requests, where they came before we could answer. */
  #heldIpcp: Uint8Array | null = null;
  #heldIpv6cp: Uint8Array | null = null;

  constructor(
    private readonly host: ControlHost,
    private readonly options: PppOptions,
    private readonly resolved: Resolved,
  ) {}

  get anyOpen(): boolean {
    return this.ipcp?.opened === true || this.ipv6cp?.opened === true;
  }

  /** Whether some protocol beside this one is open, or may become so. */
  anyAlive(except: ControlProtocol): boolean {
    const alive = (layer: ControlProtocol | null): boolean =>
      layer !== null && layer !== except && layer.state >= STATE.reqSent;
    return alive(this.ipcp) || alive(this.ipv6cp);
  }

  get deadline(): number {
    return Math.min(this.ipcp?.deadline ?? Number.POSITIVE_INFINITY, this.ipv6cp?.deadline ?? Number.POSITIVE_INFINITY);
  }

  tick(now: number): void {
    this.ipcp?.tick(now);
    this.ipv6cp?.tick(now);
  }

  layer(protocol: number): ControlProtocol | null {
    return protocol === PPP_PROTOCOL.ipcp ? this.ipcp : this.ipv6cp;
  }

  serves(protocol: number): boolean {
    return protocol === PPP_PROTOCOL.ipcp ? this.resolved.ipv4 : this.resolved.ipv6;
  }

  /** Keeps a request until the protocol is opened: that spares the peer the wait for its restart timer. */
  hold(protocol: number, frame: Uint8Array): void {
    if (protocol === PPP_PROTOCOL.ipcp) this.#heldIpcp = frame.slice();
    else this.#heldIpv6cp = frame.slice();
  }

  /** Opens what is served and assigned; what was held comes back, to be received now. */
  open(assignment: NetworkAssignment, now: number): Uint8Array[] {
    const { ipv4, ipv6 } = assignment;
    const server = this.options.network === 'server';
    if (this.resolved.ipv4 && (!server || ipv4 !== undefined)) this.#openIpcp(ipv4, server, now);
    if (this.resolved.ipv6 && this.ipv6cp === null && (!server || ipv6 !== undefined)) {
      const [local, peer] = [ipv6?.localId ?? NO_INTERFACE_ID, ipv6?.peerId ?? NO_INTERFACE_ID];
      this.ipv6cp = new Ipv6cp(this.host, { local, peer });
      this.ipv6cp.open(now);
      this.ipv6cp.lowerUp(now);
    }
    const held = [this.#heldIpcp, this.#heldIpv6cp].filter((frame) => frame !== null);
    this.#heldIpcp = null;
    this.#heldIpv6cp = null;
    return held;
  }

  #openIpcp(ipv4: NetworkAssignment['ipv4'], server: boolean, now: number): void {
    const [local, peer, dns] = [ipv4?.local ?? NO_ADDRESS, ipv4?.peer ?? NO_ADDRESS, ipv4?.dns ?? []];
    const wishes = { local, peer, dns, wantDns: this.options.wantDns ?? true, server };
    if (this.ipcp !== null) {
      this.ipcp.wishes = wishes;
      return this.ipcp.renegotiate(now);
    }
    this.ipcp = new Ipcp(this.host, wishes);
    this.ipcp.open(now);
    this.ipcp.lowerUp(now);
  }

  /** The link is no longer there. */
  drop(now: number): void {
    this.ipcp?.lowerDown(now);
    this.ipv6cp?.lowerDown(now);
    this.ipcp = null;
    this.ipv6cp = null;
    this.#heldIpcp = null;
    this.#heldIpv6cp = null;
  }

  snapshot(): Pick<PppSnapshot, 'assignment' | 'ipv4' | 'ipv6'> {
    const { ipcp, ipv6cp, assignment } = this;
    return {
      assignment,
      ipv4:
        ipcp === null
          ? null
          : {
              open: ipcp.opened,
              local: ipcp.local,
              peer: ipcp.peer,
              dns: [...ipcp.dns],
              vj: ipcp.vj,
              nextId: ipcp.nextId,
            },
      ipv6:
        ipv6cp === null ? null : { open: ipv6cp.opened, local: ipv6cp.local, peer: ipv6cp.peer, nextId: ipv6cp.nextId },
    };
  }

  /** Protocols that were open in another process are open here; without any, they are asked for, as it did. */
  resume({ assignment, ipv4, ipv6 }: PppSnapshot, now: number): void {
    this.assignment = assignment;
    if (ipv4?.open) {
      const { local, peer, dns, vj, nextId } = ipv4;
      const server = this.options.network === 'server';
      const served = assignment?.ipv4?.dns ?? dns;
      this.ipcp = new Ipcp(this.host, { local, peer, dns: served, wantDns: this.options.wantDns ?? true, server });
      this.ipcp.restore(local, peer, dns, vj);
      this.ipcp.nextId = nextId;
      this.ipcp.adopt(EMPTY, EMPTY);
    }
    if (ipv6?.open) {
      const { local, peer, nextId } = ipv6;
      this.ipv6cp = new Ipv6cp(this.host, { local, peer });
      this.ipv6cp.restore(local, peer);
      this.ipv6cp.nextId = nextId;
      this.ipv6cp.adopt(EMPTY, EMPTY);
    }
    if (assignment !== null && !this.anyOpen) this.open(assignment, now);
  }
}
