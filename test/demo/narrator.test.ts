import { describe, expect, test } from 'vitest';
import { Narrator, StepFailed } from '../../src/demo/narrator.js';

function narrator(options: { live?: boolean; color?: boolean } = {}) {
  let text = '';
  const told = new Narrator({
    write: (part) => (text += part),
    live: options.live ?? false,
    color: options.color ?? false,
  });
  return { told, text: () => text.replace(/\[ *[\d.]+s\]/g, '[time]') };
}

describe('the demo’s words', () => {
  test('into a pipe: one plain line a step, blocks indented', async () => {
    const { told, text } = narrator();
    await told.step('start', async () => 'started: ready');
    told.block('a  b\n1  2\n');
    await told.step('stop', async () => undefined);
    told.leftOut('bench', 'it is not built');
    expect(text()).toBe(
      '[time] ✓ started: ready\n          a  b\n          1  2\n[time] ✓ stop\n[time] - bench: left out, it is not built\n',
    );
    expect(told.results.map(({ step, outcome }) => [step, outcome])).toEqual([
      ['start', 'ok'],
      ['stop', 'ok'],
      ['bench', 'left out'],
    ]);
  });

  test('on a terminal the running step is shown and written over', async () => {
    const { told, text } = narrator({ live: true });
    await told.step('start', async () => 'started');
    expect(text()).toBe('[time] … start\r\u001b[K[time] ✓ started\n');
  });

  test('colours only when they are wanted', async () => {
    const { told, text } = narrator({ color: true });
    await told.step('start', async () => undefined);
    expect(text()).toContain('\u001b[32m✓\u001b[0m');
  });

  test('a step that does not hold is named with its reason, and ends the demo with an internal error', async () => {
    const { told, text } = narrator();
    const failing = told.step('crash', () => Promise.reject(new Error('two tunnels are gone')));
    await expect(failing).rejects.toThrow(StepFailed);
    await expect(failing).rejects.toMatchObject({ exitStatus: 70, message: 'the step did not hold: crash' });
    expect(text()).toBe('[time] ✗ crash: two tunnels are gone\n');
    expect(told.results).toMatchObject([{ outcome: 'failed' }]);
  });

  test('muted, it says and notes nothing more', async () => {
    const { told, text } = narrator();
    told.mute();
    await told.step('late', async () => undefined);
    expect(text()).toBe('');
    expect(told.results).toEqual([]);
  });
});
