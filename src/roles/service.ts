/** The process as a service: what systemd is told, and the way out when threads cannot be joined. */
import { native } from '../io/native.js';

/** sd_notify(3); nothing happens without NOTIFY_SOCKET. */
export function notify(message: string): void {
  native().sdNotify(message);
}

/** RELOADING=1 needs the time, or newer systemd ends the service. */
export function notifyReloading(): void {
  notify(`RELOADING=1\nMONOTONIC_USEC=${Math.floor(native().monotonicSeconds() * 1e6)}`);
}

/** Ends the process at once with a status: an ordinary exit joins threads, and one of them may hang in native code. */
export function exitNow(status: number): never {
  return native().exitNow(status);
}
