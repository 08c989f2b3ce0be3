/** Kinds of values that keys of several sections have. */
import { z } from 'zod';
import { formatDuration, parseBandwidth, parseDuration, parseRate } from './durations.js';
import { type Parsed, parseName } from './values.js';

export const COUNT_MAX = 1_000_000_000;
/** Bytes of a secret that authenticates messages. */
export const SECRET_LENGTH = { min: 16, max: 256 } as const;

/** Text that a parser of `values.ts` accepts; the parser's own sentence is the message. */
export function text(parse: (text: string) => Parsed<unknown>) {
  return z.string().superRefine((value, context) => {
    const result = parse(value);
    if ('error' in result) context.addIssue({ code: 'custom', message: result.error, input: value });
  });
}

export const listOf = <T extends z.ZodType>(item: T) => z.union([item, z.array(item).min(1)]);

export function duration(min: number, max: number) {
  return z
    .string({ error: 'it must be a duration with its unit: write 250ms, 5s, 2m or 1h' })
    .superRefine((value, context) => {
      const seconds = parseDuration(value);
      const message =
        seconds === null
          ? `${JSON.stringify(value)} is no duration: write 250ms, 5s, 2m or 1h`
          : seconds < min || seconds > max
            ? `it must be from ${formatDuration(min)} to ${formatDuration(max)}`
            : null;
      if (message !== null) context.addIssue({ code: 'custom', message, input: value });
    });
}

export const rate = z.string({ error: 'it must be a rate: write 50/s' }).superRefine((value, context) => {
  const perSecond = parseRate(value);
  if (perSecond === null || perSecond <= 0) {
    context.addIssue({
      code: 'custom',
      message: `${JSON.stringify(value)} is no rate above zero: write 50/s`,
      input: value,
    });
  }
});

/** Sections are optional and all their keys have defaults, so that an absent section means the same as an empty one. */
export const section = <T extends z.ZodRawShape>(shape: T) => z.strictObject(shape).prefault({} as never);

export const name = text(parseName);

export const bandwidth = z
  .string({ error: 'it must be a bandwidth: write 100Mbit/s or 10Gbit/s' })
  .superRefine((value, context) => {
    const bits = parseBandwidth(value);
    if (bits === null || bits <= 0) {
      const message = `${JSON.stringify(value)} is no bandwidth above zero: write 100Mbit/s or 10Gbit/s`;
      context.addIssue({ code: 'custom', message, input: value });
    }
  });
