/**
 * The section `gateway` of a designator: the groups by which several designators share the VIPs outside, and the address
 * that the servers have as their gateway inside (documents 001 and 004). The keys are those of `designator gateway`.
 */
import { z } from 'zod';
import { ADDRESSES_MAX, gatewayGroupSchema } from './gateway-schema.js';
import { text } from './schema-parts.js';
import { parseSharedAddress } from './values.js';

const shared = z.array(text(parseSharedAddress)).min(1).max(ADDRESSES_MAX);
const own = gatewayGroupSchema.shape;

/** What a group of designators has another default for: tunnels live where their clients are. */
const group = gatewayGroupSchema
  .omit({
    name: true,
    interface: true,
    accept: true,
    advertise: true,
    compatibility: true,
    glbp: true,
    rebalance: true,
  })
  .extend({
    replies: z
      .enum(['master', 'forwarder'])
      .default('forwarder')
      .describe('Which port the answers leave from: the master’s, or that of the designator that they name.'),
    permanentAfter: own.permanentAfter.default('never'),
    preempt: own.preempt
      .unwrap()
      .optional()
      .describe(
        'Whether a better designator becomes master while there is one: true, after 5s; absent: true, and false with `algorithm: master`.',
      ),
    return: z
      .enum(['gradual', 'stay', 'at-once'])
      .default('stay')
      .describe(
        'How clients come back to a designator that has returned: some at a time, not, or with its virtual MAC. Their tunnels are where they are now.',
      ),
  });

export const designatorGroups = z
  .strictObject({
    outside: group
      .extend({
        addresses: shared
          .optional()
          .describe(
            'The shared addresses. Absent: the VIPs, their `natAddress`, and with one interface their `localAddress`.',
          ),
      })
      .optional()
      .describe('Shares the VIPs with other designators.'),
    inside: group
      .extend({
        addresses: shared.describe('Shared addresses, the same at all members; servers have one as their gateway.'),
        advertise: own.advertise,
        return: z
          .enum(['gradual', 'stay', 'at-once'])
          .default('at-once')
          .describe(
            'How servers come back to a designator that has returned. Others hand on to it by its virtual MAC what its tunnels’ servers send them: it should have that soon.',
          ),
      })
      .optional()
      .describe('Shares the servers’ gateway address with other designators.'),
  })
  .optional()
  .describe('Groups with other designators. Fixed until a restart.');
