/** The Date field's value (RFC 9110 5.6.7), made once a second. */
let text = '';
let second = 0;

export function httpDate(nowMs: number = Date.now()): string {
  const now = Math.floor(nowMs / 1000);
  if (now !== second) {
    second = now;
    text = new Date(now * 1000).toUTCString();
  }
  return text;
}
