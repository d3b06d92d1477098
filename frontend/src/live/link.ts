/** The socket to /live/v1: subscribes, pings, notices silence, and comes back by itself. No DOM. */

import { readFrame, type Frame, type Match } from "./frames";

export type LinkState = "connecting" | "live" | "stale" | "refused";

/** The server answers each ping, so that a page with nothing to show still knows that it is heard. */
export const PING_MS = 2_000;
/** Silence of this length makes the page stale: one lost ping is forgiven, and 5 s never pass unsaid. */
export const STALE_MS = 4_000;
/** A socket this silent is dead even if nobody closed it (a cut cable sends no goodbye). */
export const DEAD_MS = 10_000;
export const BACKOFF_FIRST_MS = 500;
export const BACKOFF_MOST_MS = 10_000;
const CHECK_MS = 500;
const REFUSED_CODES = new Set([4401, 4403]);

/** Full jitter: anywhere between nothing and a bound that doubles, so that a restart meets no stampede. */
export function backoff(attempt: number, random: () => number): number {
  return random() * Math.min(BACKOFF_MOST_MS, BACKOFF_FIRST_MS * 2 ** Math.min(attempt, 16));
}

export interface SocketLike {
  onopen: (() => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number }) => void) | null;
  send(text: string): void;
  close(): void;
}

/** What the link needs of the world; tests bring their own. */
export interface World {
  open(): SocketLike;
  now(): number;
  random(): number;
  after(ms: number, call: () => void): () => void;
}

export interface LinkHandlers {
  onFrame(frame: Frame): void;
  onState(state: LinkState, lastHeard: number | null): void;
}

export class Link {
  state: LinkState = "connecting";
  lastHeard: number | null = null;
  #world: World;
  #handlers: LinkHandlers;
  #match: Match;
  #socket: SocketLike | null = null;
  #opened = false;
  #openedAt = 0;
  #attempt = 0;
  #pingedAt = 0;
  #retry: (() => void) | null = null;
  #check: (() => void) | null = null;

  constructor(world: World, match: Match, handlers: LinkHandlers) {
    this.#world = world;
    this.#match = match;
    this.#handlers = handlers;
  }

  start(): void {
    this.#connect();
    this.#watch();
  }

  stop(): void {
    this.#check?.();
    this.#retry?.();
    this.#check = this.#retry = null;
    this.#drop();
  }

  /** Asks for a fresh snapshot, of another match if one is given. */
  subscribe(match: Match = this.#match): void {
    this.#match = match;
    if (this.#opened) this.#send({ type: "subscribe", match });
  }

  /** Tries at once: the network is back, or someone looks at the page again. */
  hurry(): void {
    if (this.#retry === null) return;
    this.#retry();
    this.#retry = null;
    this.#connect();
  }

  #connect(): void {
    const socket = this.#world.open();
    this.#socket = socket;
    this.#opened = false;
    this.#openedAt = this.#world.now();
    socket.onopen = () => {
      this.#opened = true;
      this.#pingedAt = this.#world.now();
      this.subscribe();
    };
    socket.onmessage = (event) => this.#heard(String(event.data));
    socket.onclose = (event) => {
      if (this.#socket === socket) this.#closed(event.code);
    };
  }

  #heard(text: string): void {
    this.lastHeard = this.#world.now();
    this.#attempt = 0;
    this.#become("live");
    const frame = readFrame(text);
    if (frame !== null && frame.type !== "pong") this.#handlers.onFrame(frame);
  }

  #closed(code: number): void {
    this.#socket = null;
    this.#opened = false;
    if (REFUSED_CODES.has(code)) {
      this.#become("refused");
      return;
    }
    this.#become("stale");
    this.#retry = this.#world.after(backoff(this.#attempt++, () => this.#world.random()), () => {
      this.#retry = null;
      this.#connect();
    });
  }

  #watch(): void {
    this.#check = this.#world.after(CHECK_MS, () => {
      const now = this.#world.now();
      const silence = now - (this.lastHeard ?? this.#openedAt);
      if (silence >= STALE_MS && this.state !== "refused") this.#become("stale");
      if (this.#socket !== null && now - Math.max(this.lastHeard ?? 0, this.#openedAt) >= DEAD_MS) {
        this.#drop();
        this.#closed(1006);
      } else if (this.#opened && now - this.#pingedAt >= PING_MS) {
        this.#pingedAt = now;
        this.#send({ type: "ping" });
      }
      this.#watch();
    });
  }

  #drop(): void {
    const socket = this.#socket;
    this.#socket = null;
    this.#opened = false;
    socket?.close();
  }

  #send(message: object): void {
    try {
      this.#socket?.send(JSON.stringify(message));
    } catch {
      // The socket is closing; its close event says so and the link comes back.
    }
  }

  #become(state: LinkState): void {
    if (this.state === state) return;
    this.state = state;
    this.#handlers.onState(state, this.lastHeard);
  }
}

/** The world of a real page. */
export function browserWorld(): World {
  return {
    open: () => {
      const url = new URL("/live/v1", window.location.href);
      url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
      return new WebSocket(url) as unknown as SocketLike;
    },
    now: () => performance.now(),
    random: () => Math.random(),
    after: (ms, call) => {
      const id = window.setTimeout(call, ms);
      return () => window.clearTimeout(id);
    },
  };
}
