/** Our RADIUS client in a process of its own, in a namespace. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { labEnvironment } from '../../src/demo/lab/command.js';
import type { Namespace } from '../../src/demo/lab/namespace.js';
import type { RadiusServerRow } from '../../src/protocol/radius/server-state.js';
import type { AccessRequest, AccountingRecord } from '../../src/protocol/radius/types.js';
import type { RadiusAnswer } from '../../src/roles/radius-service.js';

export type RadiusOrder =
  | { readonly type: 'access'; readonly id: number; readonly request: AccessRequest }
  | { readonly type: 'account'; readonly record: AccountingRecord }
  | { readonly type: 'state' }
  | { readonly type: 'stop'; readonly seconds: number };
export type RadiusReport =
  | { readonly type: 'answer'; readonly id: number; readonly answer: RadiusAnswer }
  | { readonly type: 'state'; readonly servers: readonly RadiusServerRow[]; readonly pendingRecords: number }
  | { readonly type: 'stopped'; readonly lost: number };

const CHILD = join(import.meta.dirname, 'radius-child.ts');

export class RadiusProcess {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (answer: RadiusAnswer) => void>();
  #ids = 0;

  /** `config`: the `radius` section. */
  constructor(namespace: Namespace, config: object) {
    const words = ['--import', 'tsx', CHILD, JSON.stringify(config)];
    this.#child = spawn('ip', ['netns', 'exec', namespace.name, process.execPath, ...words], {
      env: labEnvironment(namespace.env),
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      serialization: 'advanced',
    });
    this.#child.on('message', (report: RadiusReport) => {
      if (report.type === 'answer') this.#waiting.get(report.id)?.(report.answer);
    });
  }

  ask(request: AccessRequest): Promise<RadiusAnswer> {
    const id = ++this.#ids;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.#send({ type: 'access', id, request });
    });
  }

  account(record: AccountingRecord): void {
    this.#send({ type: 'account', record });
  }

  async state(): Promise<Extract<RadiusReport, { type: 'state' }>> {
    this.#send({ type: 'state' });
    return this.#next('state');
  }

  /** Records that no server has taken. */
  async stop(seconds: number): Promise<number> {
    this.#send({ type: 'stop', seconds });
    const { lost } = await this.#next('stopped');
    this.#child.disconnect();
    return lost;
  }

  async #next<T extends RadiusReport['type']>(type: T): Promise<Extract<RadiusReport, { type: T }>> {
    for (;;) {
      const [report] = (await once(this.#child, 'message')) as [RadiusReport];
      if (report.type === type) return report as Extract<RadiusReport, { type: T }>;
    }
  }

  #send(order: RadiusOrder): void {
    this.#child.send(order);
  }
}
