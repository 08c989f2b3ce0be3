/** Addresses that this host has at its interfaces, whichever they are. */
import { networkInterfaces } from 'node:os';
import { type AddressWords, parseAddress } from '../wire/address.js';

/** Of the present network namespace, without those of link-local scope, which mean nothing without their link. */
export function hostAddresses(): AddressWords[] {
  return Object.values(networkInterfaces()).flatMap((list) =>
    (list ?? []).flatMap(({ address, scopeid }) => {
      const words = (scopeid ?? 0) === 0 ? parseAddress(address) : null;
      return words === null ? [] : [words];
    }),
  );
}
