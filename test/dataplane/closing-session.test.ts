/** Found by fuzzing: a session asked for in a tunnel that was ending stayed in its server's count for ever. */
import { expect, test } from 'vitest';
import { PORT_INSIDE } from '../../src/io/port.js';
import { MemoryAppliance } from '../helpers/memory-appliance.js';
import { icrq, scccn, sccrp, sccrq, stopccn, udpFrame } from '../helpers/packet-builder.js';
import { brokenInvariants } from '../helpers/table-invariants.js';

test('a session requested after StopCCN is not counted at the server', () => {
  const appliance = new MemoryAppliance(
    'vips: [{ name: access, address: 200.200.100.1, servers: [{ name: lns1, address: 10.10.1.1 }] }]\ntable: { connections: 16 }',
  );
  const up = (payload: Uint8Array) => appliance.send(udpFrame('192.128.10.5:1701', '200.200.100.1:1701', payload));
  up(sccrq({ assigned: 7 }));
  appliance.send(udpFrame('10.10.1.1:1701', '192.128.10.5:1701', sccrp({ tunnel: 7, assigned: 99 })), PORT_INSIDE);
  up(scccn({ tunnel: 99 }));
  up(stopccn({ tunnel: 99, assigned: 7 }));
  expect(up(icrq({ tunnel: 99, assigned: 11 })).sent).toHaveLength(1);
  expect(appliance.rows.servers()[0]).toMatchObject({ tunnels: 0, sessions: 0 });
  expect(brokenInvariants(appliance.memory)).toEqual([]);
  appliance.at(appliance.now + 36);
  expect(appliance.rows.totals()).toMatchObject({ entries: 0, tunnels: 0, sessions: 0 });
});
