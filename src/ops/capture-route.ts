/** A capture as an HTTP answer: chunked, with back-pressure, and the counts in the trailers. */
import type { FastifyReply } from 'fastify';
import type { CaptureStream } from './appliance.js';
import { type CaptureFormat, PcapLimiter } from './capture.js';
import type { Logger } from './log.js';

export const CAPTURE_TYPES: Readonly<Record<CaptureFormat, string>> = {
  pcap: 'application/vnd.tcpdump.pcap',
  pcapng: 'application/x-pcapng',
};

/**
 * Sends `stream` until it ends, the reader goes, `seconds` are over or `count` frames are sent. `open` gets a function
 * that ends it from outside (the server closes), for as long as it runs.
 */
export function sendCapture(
  reply: FastifyReply,
  stream: CaptureStream,
  limits: { readonly seconds?: number; readonly count?: number; readonly format: CaptureFormat },
  open: Set<() => void>,
  logger: Logger,
): void {
  reply.hijack();
  const response = reply.raw;
  const limiter = new PcapLimiter(limits.count ?? Number.POSITIVE_INFINITY, limits.format);
  response.writeHead(200, {
    'content-type': CAPTURE_TYPES[limits.format],
    'cache-control': 'no-store',
    trailer: 'x-captured-frames, x-dropped-frames',
  });
  // The reader learns at once that the capture runs, before the first frame comes.
  response.flushHeaders();
  const end = () => stream.close();
  open.add(end);
  const timer = limits.seconds === undefined ? null : setTimeout(end, limits.seconds * 1000);
  response.on('drain', () => stream.resume());
  response.on('close', () => {
    if (timer !== null) clearTimeout(timer);
    open.delete(end);
    stream.close();
    logger.info({ frames: limiter.records, dropped: stream.dropped() }, 'capture ended');
  });
  stream.onData((chunk) => {
    if (limiter.done || response.writableEnded || response.destroyed) return;
    if (!response.write(limiter.take(chunk))) stream.pause();
    if (limiter.done) stream.close();
  });
  stream.onEnd(() => {
    if (response.destroyed) return;
    response.addTrailers({
      'x-captured-frames': String(limiter.records),
      'x-dropped-frames': String(stream.dropped()),
    });
    response.end();
  });
}
