import assert from "node:assert/strict";
import test from "node:test";
import { backoff, BACKOFF_FIRST_MS, BACKOFF_MOST_MS, DEAD_MS, Link, PING_MS, STALE_MS, type LinkState, type SocketLike, type World } from "../src/live/link";

/** A world whose clock is set by hand. */
class SetWorld implements World {
  time = 0;
  sockets: FakeSocket[] = [];
  #waiting: { at: number; call: () => void }[] = [];

  open(): SocketLike {
    const socket = new FakeSocket();
    this.sockets.push(socket);
    return socket;
  }
  now(): number {
    return this.time;
  }
  random(): number {
    return 1;
  }
  after(ms: number, call: () => void): () => void {
    const entry = { at: this.time + ms, call };
    this.#waiting.push(entry);
    return () => (this.#waiting = this.#waiting.filter((one) => one !== entry));
  }
  pass(ms: number): void {
    const end = this.time + ms;
    for (;;) {
      const next = this.#waiting.filter((one) => one.at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#waiting = this.#waiting.filter((one) => one !== next);
      this.time = next.at;
      next.call();
    }
    this.time = end;
  }
}

class FakeSocket implements SocketLike {
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  sent: { type: string }[] = [];
  closed = false;
  send(text: string): void {
    this.sent.push(JSON.parse(text) as { type: string });
  }
  close(): void {
    this.closed = true;
  }
  says(frame: object): void {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }
}

function started(): { world: SetWorld; link: Link; states: LinkState[]; frames: string[]; socket: () => FakeSocket } {
  const world = new SetWorld();
  const states: LinkState[] = [];
  const frames: string[] = [];
  const link = new Link(world, { environment: "prod" }, { onFrame: (frame) => frames.push(frame.type), onState: (state) => states.push(state) });
  link.start();
  const socket = (): FakeSocket => world.sockets.at(-1) as FakeSocket;
  socket().onopen?.();
  return { world, link, states, frames, socket };
}

const SNAPSHOT = { type: "snapshot", version: 1, part: 1, parts: 1, breakers: [] };

test("it subscribes on opening, and is live once the server has spoken", () => {
  const { states, frames, socket } = started();
  assert.deepEqual(socket().sent, [{ type: "subscribe", match: { environment: "prod" } }]);
  assert.deepEqual(states, []);
  socket().says(SNAPSHOT);
  assert.deepEqual(states, ["live"]);
  assert.deepEqual(frames, ["snapshot"]);
});

test("it pings, and pongs alone keep it live", () => {
  const { world, link, states, frames, socket } = started();
  socket().says(SNAPSHOT);
  for (let n = 0; n < 10; n++) {
    world.pass(PING_MS);
    socket().says({ type: "pong" });
  }
  assert.equal(link.state, "live");
  assert.deepEqual(states, ["live"]);
  assert.deepEqual(frames, ["snapshot"]);
  assert.ok(socket().sent.filter((frame) => frame.type === "ping").length >= 9);
});

test("a silent server makes it stale within 5 s, and its next word live again", () => {
  const { world, states, socket } = started();
  socket().says(SNAPSHOT);
  world.pass(STALE_MS - 600);
  assert.deepEqual(states, ["live"]);
  world.pass(1_100);
  assert.deepEqual(states, ["live", "stale"]);
  assert.ok(world.time <= 5_000);
  socket().says({ type: "pong" });
  assert.deepEqual(states, ["live", "stale", "live"]);
});

test("a server that never speaks is stale too", () => {
  const { world, states } = started();
  world.pass(5_000);
  assert.deepEqual(states, ["stale"]);
});

test("a lost socket is stale at once and comes back by itself, subscribed", () => {
  const { world, link, socket } = started();
  socket().says(SNAPSHOT);
  socket().onclose?.({ code: 1012 });
  assert.equal(link.state, "stale");
  world.pass(BACKOFF_FIRST_MS);
  assert.equal(world.sockets.length, 2);
  socket().onopen?.();
  socket().says(SNAPSHOT);
  assert.equal(link.state, "live");
  assert.equal(socket().sent[0]?.type, "subscribe");
});

test("a dead socket is given up and replaced", () => {
  const { world, socket } = started();
  socket().says(SNAPSHOT);
  const first = socket();
  world.pass(DEAD_MS + 1_500);
  assert.equal(first.closed, true);
  assert.equal(world.sockets.length, 2);
});

test("a late close of a replaced socket changes nothing", () => {
  const { world, link, socket } = started();
  const first = socket();
  world.pass(DEAD_MS + 1_500);
  socket().onopen?.();
  socket().says(SNAPSHOT);
  first.onclose?.({ code: 1006 });
  assert.equal(link.state, "live");
  assert.equal(world.sockets.length, 2);
});

test("an ended session is not tried again", () => {
  const { world, link, socket } = started();
  socket().onclose?.({ code: 4401 });
  assert.equal(link.state, "refused");
  world.pass(60_000);
  assert.equal(world.sockets.length, 1);
});

test("hurrying tries at once, and only while waiting", () => {
  const { world, link, socket } = started();
  link.hurry();
  assert.equal(world.sockets.length, 1);
  socket().onclose?.({ code: 1006 });
  link.hurry();
  assert.equal(world.sockets.length, 2);
  world.pass(BACKOFF_FIRST_MS);
  assert.equal(world.sockets.length, 2);
});

test("back-off is full jitter under a doubling bound", () => {
  assert.equal(backoff(0, () => 1), BACKOFF_FIRST_MS);
  assert.equal(backoff(2, () => 1), BACKOFF_FIRST_MS * 4);
  assert.equal(backoff(2, () => 0), 0);
  assert.equal(backoff(1_000, () => 1), BACKOFF_MOST_MS);
});

test("a frame that it does not know is a sign of life and nothing else", () => {
  const { link, frames, socket } = started();
  socket().onmessage?.({ data: '{"type": "weather"}' });
  socket().onmessage?.({ data: "not JSON" });
  assert.equal(link.state, "live");
  assert.deepEqual(frames, []);
});
