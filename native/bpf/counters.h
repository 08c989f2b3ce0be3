/* Indices of td_counters: what the program did, by CPU. src/io/xdp-counters.ts says the same to TypeScript and explains
 * each; test/io/xdp-counters.test.ts compares the two. Packets that are forwarded cost two additions, so their number
 * is kept once, by direction and by the way they left; sums are made where they are read. */
#ifndef TUNNEL_DESIGNATOR_BPF_COUNTERS_H
#define TUNNEL_DESIGNATOR_BPF_COUNTERS_H

/* direction * TD_WAYS + way */
#define TD_COUNTER_IN_TO_OUTSIDE 0
#define TD_COUNTER_IN_TO_INSIDE 1
#define TD_COUNTER_IN_TX 2
#define TD_COUNTER_OUT_TO_OUTSIDE 3
#define TD_COUNTER_OUT_TO_INSIDE 4
#define TD_COUNTER_OUT_TX 5
#define TD_COUNTER_BYTES_IN 6
#define TD_COUNTER_BYTES_OUT 7
#define TD_COUNTER_TO_SOCKET 8
#define TD_COUNTER_NO_SOCKET 9
#define TD_COUNTER_PASSED 10
#define TD_COUNTER_ANSWERED 11
#define TD_COUNTER_DENIED 12
#define TD_COUNTER_SPREAD 13
#define TD_COUNTER_SPREAD_FAILED 14
#define TD_COUNTER_SPREAD_MISS 15
#define TD_COUNTER_ADJUST_FAILED 16
#define TD_COUNTER_REDIRECT_FAILED 17
#define TD_COUNTER_TO_HOST 18
#define TD_COUNTERS 19

#define TD_WAYS 3
#define TD_WAY_TX 2

#endif
