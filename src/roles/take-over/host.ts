/** The host as take-over changes it: netlink, announcements, hooks. Everything is made with the first use. */
import { execFile } from 'node:child_process';
import { announceAddresses } from '../../io/announcer.js';
import { HostChanges } from '../../io/host-changes.js';
import { type NativeAddon, native } from '../../io/native.js';
import type { AddressWords } from '../../wire/address.js';
import type { AddressHost } from './addresses.js';
import type { AttractionHost } from './attraction.js';

/** Output of a hook that is kept for its error message. */
const OUTPUT_LIMIT = 4096;

export class TakeOverHost implements AddressHost, AttractionHost {
  #changes: HostChanges | null = null;

  constructor(readonly addon: NativeAddon = native()) {}

  indexOf(device: string): number {
    return this.addon.interfaceInfo(device).index;
  }

  addAddress(index: number, words: AddressWords, length: number): boolean {
    return this.#host().addAddress(index, words, length);
  }

  removeAddress(index: number, words: AddressWords, length: number): boolean {
    return this.#host().removeAddress(index, words, length);
  }

  addProxy(index: number, words: AddressWords): boolean {
    return this.#host().addProxy(index, words);
  }

  removeProxy(index: number, words: AddressWords): boolean {
    return this.#host().removeProxy(index, words);
  }

  addRoute(route: { words: AddressWords; length: number; index: number; metric: number }): boolean {
    return this.#host().addRoute(route);
  }

  removeRoute(route: { words: AddressWords; length: number; index: number; metric: number }): boolean {
    return this.#host().removeRoute(route);
  }

  announce(device: string, addresses: readonly AddressWords[]): number {
    return announceAddresses(this.addon, device, addresses);
  }

  run([program, ...rest]: readonly string[], timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      execFile(program, rest, { timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: OUTPUT_LIMIT }, (error) => {
        if (error === null) resolve();
        else reject(new Error(`${program}: ${error.killed === true ? 'it took too long' : error.message}`));
      });
    });
  }

  close(): void {
    this.#changes?.close();
    this.#changes = null;
  }

  #host(): HostChanges {
    this.#changes ??= new HostChanges(this.addon);
    return this.#changes;
  }
}
