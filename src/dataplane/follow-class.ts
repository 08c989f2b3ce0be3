/**
 * What a client does when the answer to its request comes from another address than the one it asked (document 001,
 * FIG. 2 and 4; RFC 2661 §8.1). Known per client address, once a client has shown it.
 */
export const FOLLOW = {
  unknown: 0,
  /** It goes on with the address that answered. */
  follows: 1,
  /** It takes the answer and goes on sending to the VIP (xl2tpd): it is carried on to its server. */
  carried: 2,
  /** It does not take the answer (a connected socket, IPsec): it must hear the VIP's own address. */
  refuses: 3,
} as const;

/** In the order of FOLLOW's numbers, as `show` and events have them. */
export const FOLLOW_WORDS = ['unknown', 'follows', 'carried', 'refuses'] as const;
export type FollowWord = (typeof FOLLOW_WORDS)[number];
