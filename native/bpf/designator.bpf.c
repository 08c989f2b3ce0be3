/* The fast path in the kernel: the second reader of the connection table. One program for both interfaces forwards by
 * entries that TypeScript has offloaded; what it cannot decide goes to a shard, what is no tunnel traffic to the host.
 * It has no constants of its own: the control words of the table tell it everything, packet by packet. */
#include "hit.h"
#include "judge.h"

SECTION("xdp") int td_ingress(struct xdp_md* ctx) {
  struct frame f;
  struct flow k;
  int action;
  if (!read_frame(ctx, &f)) return pass();
  if (f.type == TYPE_IPV4) {
    action = hit(&f, 0, 1, &k);
  } else if (f.type == TYPE_IPV6) {
    action = hit(&f, 1, 1, &k);
  } else {
    return f.type == TYPE_ARP ? judge_arp(&f) : pass();
  }
  if (action >= 0) return action;
  if (action == NO_HIT) return judge_ip(&f);
  if (k.from_client && is_denied(&f, k.key[0], k.key[1], k.key[2], k.key[3], 0)) return XDP_DROP;
  return to_shard(&f, any_of(&f, &k));
}

/* On another CPU, for a hit that was spread: the queue it came in on is not known any more, so no socket can have it.
 */
SECTION("xdp/cpumap") int td_spread(struct xdp_md* ctx) {
  struct frame f;
  struct flow k;
  int action = NO_HIT;
  if (read_frame(ctx, &f)) {
    if (f.type == TYPE_IPV4) {
      action = hit(&f, 0, 0, &k);
    } else if (f.type == TYPE_IPV6) {
      action = hit(&f, 1, 0, &k);
    }
  }
  if (action >= 0) return action;
  count(TD_COUNTER_SPREAD_MISS, 1);
  return XDP_DROP;
}

char td_license[] SECTION("license") = "Apache-2.0";
