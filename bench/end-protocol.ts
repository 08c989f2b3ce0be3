/** What is said between the benchmark and the process at each far end: a line of JSON each way, one at a time. */

export interface LoadOrder {
  /** Heads one after another, then the tail that follows in every frame. */
  readonly file: string;
  readonly headLength: number;
  readonly count: number;
  /** By the kernel's own frames, else by AF_PACKET. */
  readonly live: boolean;
  /** Live only: every other head is the other end's, and leaves there. */
  readonly both?: boolean;
}

export interface SendOrder {
  readonly seconds: number;
  /** Frames a second; 0 or absent: as fast as it goes. */
  readonly rate?: number;
  /** No more frames than this. */
  readonly limit?: number;
  /** Every frame carries the time at which it leaves. Only by live frames. */
  readonly stamped?: boolean;
}

export interface SendResult {
  readonly sent: number;
  readonly seconds: number;
}

export type EndOrder =
  | { readonly load: LoadOrder }
  | { readonly send: SendOrder }
  | { readonly count: true }
  /** The answer's `map` is what `join` of the other end wants. */
  | { readonly wires: true }
  | { readonly join: number }
  | { readonly latency: 'start' | 'end' }
  | { readonly silence: 'start' | 'end' };

export interface EndAnswer {
  readonly error?: string;
  readonly sent?: number;
  readonly seconds?: number;
  readonly packets?: number;
  readonly map?: number;
  readonly histogram?: [number, number][];
  /** Milliseconds. */
  readonly silence?: number;
}
