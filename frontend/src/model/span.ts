/** From when and until when an override is to stand, as a form says it. What is wrong is told as text. */

export type Expiry = { expires_in: number } | { expires_at: string } | { no_expiry: true };
export type Start = { starts_at?: string };

/** `chosen` is "now" or "later"; `moment` is a field of local time; `now` in milliseconds. */
export function startOf(chosen: string, moment: string, now: number): Start | string {
  if (chosen !== "later") return {};
  const at = new Date(moment);
  if (Number.isNaN(at.getTime())) return "Choose the day and time at which it begins.";
  return at.getTime() <= now ? "That time is past: choose one ahead." : { starts_at: at.toISOString() };
}

/** `chosen` is a number of seconds, "until" or "never"; what has an end ends after its start. */
export function expiryOf(chosen: string, moment: string, start: Start, now: number): Expiry | string {
  if (chosen === "never") return { no_expiry: true };
  if (chosen !== "until") return { expires_in: Number(chosen) };
  const at = new Date(moment);
  if (Number.isNaN(at.getTime())) return "Choose the day and time at which it ends.";
  if (at.getTime() <= now) return "That time is past: choose one ahead.";
  if (start.starts_at !== undefined && at.getTime() <= Date.parse(start.starts_at)) return "It must end after it begins.";
  return { expires_at: at.toISOString() };
}

/** The zone in which a field of local time is read, as it is at that moment: "Europe/Berlin, UTC+1"; `now` where it is empty. */
export function zoneOf(moment: string, now: number): string {
  const at = new Date(moment === "" ? now : moment);
  const name = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const ahead = -at.getTimezoneOffset();
  if (name === "UTC" || Number.isNaN(ahead)) return name;
  const minutes = Math.abs(ahead) % 60;
  const hours = `${Math.floor(Math.abs(ahead) / 60)}${minutes === 0 ? "" : `:${minutes}`}`;
  return `${name}, UTC${ahead < 0 ? "−" : "+"}${hours}`;
}

/** The next full minute some hours from now, as a field for local time wants it. */
export function inHours(hours: number, now: number): string {
  const at = new Date(now + hours * 3_600_000 + 59_999);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
