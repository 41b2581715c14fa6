/** Characters that move a terminal's cursor, set its title or do worse: all controls but tab and newline. */
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/gu; // eslint-disable-line no-control-regex -- they are what this is about

/** Text of the cluster for a line of a terminal: whoever names a VM shall not write on another's screen. */
export function safeLine(text: string): string {
  return safeText(text).replaceAll(/[\t\n]/gu, ' ');
}

/** The same for text of many lines. A carriage return before a newline is left out. */
export function safeText(text: string): string {
  return text.replaceAll('\r\n', '\n').replaceAll(CONTROLS, (one) => `\\x${one.charCodeAt(0).toString(16).padStart(2, '0')}`);
}
