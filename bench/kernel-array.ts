/** BPF arrays that a program and this process read and write in the same memory, and the kernel's numbers for them. */
import { native } from '#designator/io/native.js';

/** Of <linux/bpf.h> and <linux/if_link.h>. */
export const BPF = {
  hash: 1,
  array: 2,
  devmap: 14,
  mmapable: 1 << 10,
  nativeMode: 1 << 2,
} as const;

const PAGE_LENGTH = 4096;

export interface KernelArray {
  readonly fd: number;
  readonly buffer: ArrayBuffer;
}

export function mapArray(name: string, entries: number, valueLength: number): KernelArray {
  const addon = native();
  const length = Math.ceil((entries * valueLength) / PAGE_LENGTH) * PAGE_LENGTH;
  const fd = addon.bpf.createMap({
    type: BPF.array,
    keyLength: 4,
    valueLength,
    entries: length / valueLength, // memory is mapped by pages
    flags: BPF.mmapable,
    name: name.slice(0, 15),
  });
  return { fd, buffer: addon.mapTable(fd, length) };
}

export function unmapArray({ fd, buffer }: KernelArray): void {
  native().unmapTable(buffer);
  native().closeFd(fd);
}

/** The source's way out: 0 this end's wire, 1 the other end's. */
export function createWires(): number {
  return native().bpf.createMap({
    type: BPF.devmap,
    keyLength: 4,
    valueLength: 4,
    entries: 2,
    flags: 0,
    name: 'bench_wires',
  });
}

/** The interface is one of the namespace that this process is in. */
export function setWire(wires: number, index: number, interfaceIndex: number): void {
  const word = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value).buffer);
  native().bpf.update(wires, word(index), word(interfaceIndex));
}
