/** The value of a text that came from outside, for a schema to look at; undefined for text that is not JSON, which no schema accepts. */
export function parseJson(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return value;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
