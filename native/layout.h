/* The shared memory's layout for C, C++ and BPF. src/flow/layout.ts says the same to TypeScript and explains every
 * field; test/native/layout.test.ts compares the two. Words are 32 bit, host byte order; addresses and ports are the
 * numbers that their network-order bytes spell. Plain C on purpose: the XDP program includes it. */
#ifndef DESIGNATOR_LAYOUT_H
#define DESIGNATOR_LAYOUT_H

#define TD_LAYOUT_VERSION 1

#define TD_ENTRY_WORDS 16
#define TD_ENTRY_LENGTH 64
#define TD_ENTRY_VERSION 0
#define TD_ENTRY_CLIENT 1
#define TD_ENTRY_KEY_A 5
#define TD_ENTRY_KEY_B 6
#define TD_ENTRY_TAG 7
#define TD_ENTRY_TARGET 8
#define TD_ENTRY_PORTS 9
#define TD_ENTRY_RECORD 10
#define TD_ENTRY_LAST_SEEN 11
#define TD_ENTRY_PACKETS 12
#define TD_ENTRY_BYTES 14

#define TD_TABLE_HALF_OPEN 1
#define TD_TABLE_REVERSE 2
#define TD_TABLE_FORWARD 3
#define TD_TABLE_REVERSE_HALF_OPEN 4

#define TD_FLAG_REWRITE_SOURCE 1
#define TD_FLAG_REWRITE_PORTS 2
#define TD_FLAG_REWRITE_CHANNEL 4
#define TD_FLAG_DENIED 8
#define TD_FLAG_DECREMENT_TTL 16
#define TD_FLAG_REWRITE_BOTH 32

#define TD_RECORD_WORDS 16
#define TD_RECORD_SERVER_CHANNEL 3
#define TD_RECORD_VIRTUAL_CHANNEL 4

#define TD_ADDRESS_WORDS 8
#define TD_ADDRESS_LIMIT 4096
#define TD_ADDRESS_FAMILY 4

#define TD_NEXT_HOP_WORDS 8
#define TD_NEXT_HOP_LIMIT 65536
#define TD_NEXT_HOP_VERSION 0
#define TD_NEXT_HOP_MAC_HIGH 1
#define TD_NEXT_HOP_MAC_LOW 2
#define TD_NEXT_HOP_STATE_RESOLVED 2

#define TD_BUCKET_SLOTS 4

/* src/io/port.ts */
#define TD_BATCH_CAPACITY 256
#define TD_SCRATCH_SLOTS 256
#define TD_SCRATCH_SLOT_LENGTH 2048
#define TD_COLUMN_LENGTH 512
#define TD_VERDICT_DROP (-1)
#define TD_VERDICT_PASS (-2)
#define TD_VERDICT_HANDED (-3)
#define TD_VERDICT_RAW (-4)
#define TD_FRAME_CHECKSUM_PARTIAL 1
#define TD_FRAME_HANDED 2
#define TD_PORT_NONE 255

/* Protocol ids of the tunnel descriptors that rewrite a channel. */
#define TD_PROTOCOL_L2TP 1

#endif
