/** Sends the ICMP errors that shards make. Where there can be no raw socket it says so once, and they are not sent. */
import { RawIcmp } from '../../io/raw-icmp.js';

export class ErrorSender {
  #icmp: RawIcmp | null = null;
  #over = false;

  /** `onImpossible`: the raw socket cannot be had; errors of RawIcmp. */
  constructor(
    readonly onImpossible: (error: unknown) => void,
    readonly open: () => RawIcmp = () => new RawIcmp(),
  ) {}

  send(packets: readonly Uint8Array[]): void {
    if (this.#over) return;
    try {
      this.#icmp ??= this.open();
      for (const packet of packets) this.#icmp.send(packet);
    } catch (error) {
      this.#over = true;
      this.onImpossible(error);
    }
  }

  close(): void {
    this.#over = true;
    this.#icmp?.close();
  }
}
