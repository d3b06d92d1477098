/** What passes over /live/v1. */

import type { Summary } from "../model/summary";

export type Match = Partial<Record<"environment" | "service" | "state" | "target" | "q", string>>;

export interface Snapshot {
  type: "snapshot";
  version: number;
  part: number;
  parts: number;
  breakers: Summary[];
}

export interface Changes {
  type: "changes";
  version: number;
  changed: Summary[];
  removed: string[];
}

export interface IncidentFrame {
  type: "incident";
  [field: string]: unknown;
}

export type Frame = Snapshot | Changes | IncidentFrame | { type: "pong" };

/** The frame in a text, or null for what this page does not know (a newer server may say more). */
export function readFrame(text: string): Frame | null {
  let frame: unknown;
  try {
    frame = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof frame !== "object" || frame === null) return null;
  const type = (frame as { type?: unknown }).type;
  return type === "snapshot" || type === "changes" || type === "incident" || type === "pong" ? (frame as Frame) : null;
}
