/** Captures as the hub knows them → as the shards compare them. */
import type { CaptureFilter } from '../../dataplane/plan.js';
import type { OpenCapture } from '../../ops/capture.js';
import { parseEndpoint } from '../../wire/address.js';

export function captureFilters(captures: readonly OpenCapture[]): CaptureFilter[] {
  return captures.map(({ slot, filter }) => {
    const endpoint = filter.client === undefined ? null : parseEndpoint(filter.client);
    return {
      slot,
      ...(filter.tunnel === undefined ? {} : { clientTunnelId: filter.tunnel }),
      ...(endpoint === null ? {} : { client: endpoint.words, clientPort: endpoint.port }),
    };
  });
}
