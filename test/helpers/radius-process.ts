/** Our RADIUS client in a process of its own, in a namespace. */
import { type ChildProcess, spawn } from 'node:child_process';
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

  state(): Promise<Extract<RadiusReport, { type: 'state' }>> {
    const next = this.#next('state');
    this.#send({ type: 'state' });
    return next;
  }

  /** Records that no server has taken. */
  async stop(seconds: number): Promise<number> {
    const next = this.#next('stopped');
    this.#send({ type: 'stop', seconds });
    const { lost } = await next;
    this.#child.disconnect();
    return lost;
  }

  #next<T extends RadiusReport['type']>(type: T): Promise<Extract<RadiusReport, { type: T }>> {
    return new Promise((resolve) => {
      const listen = (report: RadiusReport): void => {
        if (report.type !== type) return;
        this.#child.off('message', listen);
        resolve(report as Extract<RadiusReport, { type: T }>);
      };
      this.#child.on('message', listen);
    });
  }

  #send(order: RadiusOrder): void {
    this.#child.send(order);
  }
}
