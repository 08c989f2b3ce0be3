/** An LNS without tunnels of its own: rows to show, one command, a reload that can fail. */
import { DesignatorError } from '../../src/errors.js';
import type {
  Endpoint,
  EndpointCommand,
  EndpointTable,
  LnsTunnelRow,
  MetricReading,
  ReloadResult,
  TableFilter,
} from '../../src/ops/endpoint.js';
import { EventLog } from '../../src/ops/events.js';

export const tunnelRow = (values: Partial<LnsTunnelRow> = {}): LnsTunnelRow => ({
  peer: '192.0.2.9:1701',
  peerHostName: 'lac1',
  local: '10.10.1.1:1701',
  tunnelId: 7,
  peerTunnelId: 40505,
  state: 'established',
  sessions: 2,
  ns: 12,
  nr: 9,
  ageSeconds: 61,
  ...values,
});

export class FakeEndpoint implements Endpoint {
  readonly role = 'lns';
  readonly events = new EventLog();
  isReady = true;
  trouble: string | null = null;
  reloadResult: ReloadResult = { ok: true, problems: [], changes: ['log.level'] };
  readonly asked: unknown[] = [];
  readonly tables = new Map<string, EndpointTable>([
    [
      'tunnels',
      {
        description: 'control connections',
        filters: ['tunnel', 'client'],
        rows: ({ tunnel, client }: TableFilter) => [
          [tunnelRow(), tunnelRow({ tunnelId: 8, peer: '[2001:db8::9]:1701', sessions: 0 })].filter(
            (row) => (tunnel === undefined || row.tunnelId === tunnel) && (client === undefined || row.peer === client),
          ),
        ],
      },
    ],
    [
      'drops',
      {
        description: 'what ended here',
        filters: [],
        rows: () => [[{ reason: 'spoofed', packets: 3, description: 'a source that is not the subscriber’s' }]],
      },
    ],
  ]);
  readonly commands = new Map<string, EndpointCommand>([
    [
      'switchover',
      {
        description: 'move tunnels to the peer',
        body: {
          type: 'object',
          additionalProperties: false,
          required: ['peer'],
          properties: { peer: { type: 'string' } },
        },
        run: (body) => {
          this.asked.push(body);
          if (body.peer === 'nobody') throw new DesignatorError('TD_NOT_FOUND', 'no peer "nobody"');
          return { moved: 2 };
        },
      },
    ],
  ]);

  metrics(): MetricReading[] {
    const help = 'Packets that ended here.';
    return [
      { name: 'sessions', help: 'Sessions that are up.', kind: 'gauge', value: 2 },
      { name: 'dropped_packets_total', help, kind: 'counter', value: 3, reason: 'spoofed' },
      { name: 'dropped_packets_total', help, kind: 'counter', value: 4, reason: 'no-session' },
    ];
  }
  async reload(): Promise<ReloadResult> {
    return this.reloadResult;
  }
  ready(): boolean {
    return this.isReady;
  }
  unhealthy(): string | null {
    return this.trouble;
  }
}
