#include "../frame_pool.h"

#include <algorithm>
#include <set>
#include <thread>
#include <vector>

#include "check.h"

using namespace td;

TEST(every_frame_has_one_owner) {
  FramePool pool(10);
  std::vector<uint32_t> some(4);
  CHECK_EQ(pool.take(some, held_by(3)), 4U);
  CHECK_EQ(std::set<uint32_t>(some.begin(), some.end()).size(), std::size_t{4});
  for (const uint32_t frame : some) CHECK_EQ(pool.owner(frame), held_by(3));
  CHECK_EQ(pool.count(kInPool, kInPool), 6U);
  std::vector<uint32_t> rest(20);
  CHECK_EQ(pool.take(rest, kInKernel), 6U);
  CHECK_EQ(pool.take(rest, kInKernel), 0U);
  pool.give({some.data(), 2});
  CHECK_EQ(pool.count(kInPool, kInPool), 2U);
  CHECK_EQ(pool.take(rest, held_by(0)), 2U);
}

TEST(a_dead_shards_frames_come_back_and_no_others) {
  FramePool pool(8);
  std::vector<uint32_t> mine(2), dead(3), sent(1);
  pool.take(mine, held_by(0));
  pool.take(dead, held_by(1));
  pool.take(sent, sent_by(0, 1));
  CHECK_EQ(pool.reclaim(held_by(1)), 3U);
  CHECK_EQ(pool.reclaim(held_by(1)), 0U);
  CHECK_EQ(pool.count(held_by(0), held_by(0)), 2U);
  CHECK_EQ(pool.owner(sent[0]), sent_by(0, 1));
  CHECK_EQ(pool.count(kInPool, kInPool), 5U);
  std::vector<uint32_t> all(8);
  CHECK_EQ(pool.take(all, kInKernel), 5U);
  CHECK_EQ(std::set<uint32_t>(all.begin(), all.begin() + 5).size(), std::size_t{5});
}

TEST(owners_of_all_shards_and_devices_differ) {
  std::set<FrameOwner> owners{kInPool, kInKernel};
  for (uint32_t shard = 0; shard < TD_SHARD_LIMIT; shard++) {
    CHECK(owners.insert(held_by(shard)).second);
    CHECK(owners.insert(spare_of(shard)).second);
    for (uint32_t device = 0; device < 8; device++) {
      CHECK(owners.insert(sent_by(device, shard)).second);
      CHECK(sent_by(device, shard) >= kSent);
    }
    CHECK(held_by(shard) < kSent && spare_of(shard) < kSent);
  }
}

TEST(threads_never_get_the_same_frame) {
  FramePool pool(64);
  const auto work = [&pool](uint32_t shard) {
    std::vector<uint32_t> some(7);
    for (int round = 0; round < 2000; round++) {
      const uint32_t taken = pool.take(some, held_by(shard));
      for (uint32_t i = 0; i < taken; i++) CHECK_EQ(pool.owner(some[i]), held_by(shard));
      pool.give({some.data(), taken});
    }
  };
  std::thread other(work, 1);
  work(0);
  other.join();
  CHECK_EQ(pool.count(kInPool, kInPool), 64U);
}
