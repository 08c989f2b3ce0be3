/** DESIGN §6: what one packet may cost us in terms of a peer's cost, and how a measurement is held against it. */
export type Verdict = 'reached' | 'missed' | 'not decidable here';

const FEW = 10_000;
const MANY = 500_000;

/** At most so much of the peer's cost; null where there is no bar. */
export function barOf(ours: string, peer: string, flows: number): number | null {
  switch (`${ours} ${peer}`) {
    case 'xdp xdp-bare':
      return flows < FEW ? 1.15 : 1;
    case 'xdp nft-dnat':
      return flows < FEW ? 1 / 6 : flows < MANY ? 1 / 5 : 1 / 4;
    case 'xdp ip-forward':
      return 1 / 4;
    case 'af-xdp af-xdp-twin':
    case 'designator c-twin':
      return 1.1;
    case 'af-xdp nft-dnat':
      return 0.6;
    case 'designator nft-dnat':
      return 1;
    case 'xdp-virtual xdp':
    case 'af-xdp-virtual af-xdp':
    case 'designator-virtual designator':
      return 1.03; // forwarding with virtual ids
    case 'designator node-dgram':
      return 1 / 4;
    case 'designator nginx-stream':
      return 1 / 2.5;
    case 'xdp-policy xdp':
    case 'af-xdp-policy af-xdp':
    case 'packet-policy designator':
      return 1.03;
    default:
      return null;
  }
}

export function verdictOf([low, high]: readonly [number, number], bar: number): Verdict {
  return high <= bar ? 'reached' : low > bar ? 'missed' : 'not decidable here';
}

/** A bar this tight wants fifteen pairs. */
export const isClose = (bar: number | null): boolean => bar !== null && bar >= 0.85 && bar <= 1.15;
