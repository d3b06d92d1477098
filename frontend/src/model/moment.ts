/** A time of the API in milliseconds; where `Date.parse` cuts it off, the microseconds stay as a fraction. */
export function moment(text: string): number {
  const micros = /\.\d{3}(\d{1,3})/.exec(text)?.[1] ?? "";
  return Date.parse(text) + Number(micros.padEnd(3, "0")) / 1_000;
}
