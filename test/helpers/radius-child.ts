/** RadiusService in a network namespace: run by tests under `ip netns exec`, asked and answering by messages. */
import { compileRadius, radiusSchema } from '../../src/config/radius.js';
import { createLogger } from '../../src/ops/log.js';
import { RadiusService } from '../../src/roles/radius-service.js';
import type { RadiusOrder, RadiusReport } from './radius-process.js';

const tell = (report: RadiusReport): void => {
  process.send?.(report);
};
const settings = compileRadius(radiusSchema.parse(JSON.parse(process.argv[2])));
const service = new RadiusService(settings, createLogger('info'), { nasIdentifier: 'nas1' });

process.on('message', async (order: RadiusOrder) => {
  switch (order.type) {
    case 'access':
      service.access(order.request, (answer) => tell({ type: 'answer', id: order.id, answer }));
      return;
    case 'account':
      service.account(order.record);
      return;
    case 'state':
      tell({ type: 'state', servers: service.client.servers(), pendingRecords: service.client.pendingRecords });
      return;
    case 'stop':
      tell({ type: 'stopped', lost: await service.stop(order.seconds) });
  }
});
process.on('disconnect', () => process.exit());
