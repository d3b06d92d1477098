/** The server's clock, as far as the page knows it, and one timer for everything that counts. */

let offset = 0;

/** Called once with the moment at which the server made the page, so that a wrong clock here misleads nobody. */
export function setServerTime(iso: string): void {
  const server = Date.parse(iso);
  // A page from the back-forward cache or a slow network is older than its word: correct only real skew.
  if (!Number.isNaN(server) && Math.abs(server - Date.now()) > 5_000) offset = server - Date.now();
}

export function now(): number {
  return Date.now() + offset;
}

type Tick = (now: number) => void;
const waiting = new Set<Tick>();
let timer: number | undefined;

/** Calls `tick` once a second until the returned function is called. */
export function everySecond(tick: Tick): () => void {
  waiting.add(tick);
  timer ??= window.setInterval(() => {
    const at = now();
    for (const each of waiting) each(at);
  }, 1_000);
  return () => {
    waiting.delete(tick);
    if (waiting.size === 0) {
      window.clearInterval(timer);
      timer = undefined;
    }
  };
}
