/** Who is who for the XDP program: roles of addresses, and where VIPs listen and servers answer by configuration. */
import { ADDRESS_ROLE } from '../../flow/layout.js';
import type { Binding } from './binding.js';

export interface XdpRoles {
  /** Address index → ADDRESS_ROLE bits. */
  readonly roles: ReadonlyMap<number, number>;
  /** Address index << 16 | port → ADDRESS_ROLE bits; whose packets are the designator's is said by the roles alone. */
  readonly places: ReadonlyMap<number, number>;
}

export function xdpRoles(binding: Pick<Binding, 'vips' | 'servers' | 'isOneWay'>): XdpRoles {
  const roles = new Map<number, number>();
  const places = new Map<number, number>();
  const give = (address: number, role: number): void => void roles.set(address, (roles.get(address) ?? 0) | role);
  const add = (address: number, port: number, role: number, placeRole = role): void => {
    const place = (address << 16) | port;
    give(address, role);
    places.set(place, (places.get(place) ?? 0) | placeRole);
  };
  for (const vip of binding.vips) {
    add(vip.address, vip.port, ADDRESS_ROLE.vip);
    const nat = vip.oneWay === true ? -1 : (vip.natAddress ?? -1);
    if (nat >= 0) add(nat, vip.port, ADDRESS_ROLE.vip);
    const local = vip.oneWay === true ? (vip.localAddress ?? -1) : -1;
    if (local >= 0) give(local, ADDRESS_ROLE.local);
  }
  for (const { index, address, port } of binding.servers)
    add(address, port, binding.isOneWay(index) ? ADDRESS_ROLE.endpoint : ADDRESS_ROLE.server, ADDRESS_ROLE.server);
  return { roles, places };
}
