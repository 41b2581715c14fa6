import { pino, type DestinationStream, type Logger as PinoLogger } from 'pino';

export type LogLevel = 'error' | 'warn' | 'info' | 'debug';

/** What the code needs of a logger: constant messages with fields. Pino satisfies it. */
export interface Logger {
  error(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  info(fields: object, message: string): void;
  debug(fields: object, message: string): void;
  child(fields: Record<string, unknown>): Logger;
}

/** Fields that may carry a secret, wherever they stand one or two levels deep. */
const SECRET_FIELDS = ['token', 'tokens', 'secret', 'secret_key', 'password', 'cookie', 'authorization', 'x-api-key', 'privateKey'];

const REDACTED = SECRET_FIELDS.flatMap((name) => {
  const key = name.includes('-') ? `["${name}"]` : name;
  const below = name.includes('-') ? `*${key}` : `*.${key}`;
  return [key, below];
});

/** JSON lines on standard output unless told otherwise, secrets redacted by path. The level can be changed while running. */
export function createLogger(name: string, level: LogLevel, destination: DestinationStream = pino.destination(1)): PinoLogger {
  const options = {
    name,
    level,
    redact: { paths: REDACTED, censor: '[redacted]' },
    formatters: { level: (label: string) => ({ level: label }) },
    timestamp: pino.stdTimeFunctions.isoTime,
  };
  return pino(options, destination);
}

/** Writes each line to `destination`, standard output unless told otherwise, and tells it to `listener`. */
export function teeTo(listener: (line: string) => void, destination: DestinationStream = pino.destination(1)): DestinationStream {
  return {
    write(line) {
      destination.write(line);
      listener(line);
    },
  };
}

const nothing = (): void => undefined;

/** Says nothing; for tests and tools. */
export const silentLogger: Logger = {
  error: nothing,
  warn: nothing,
  info: nothing,
  debug: nothing,
  child: () => silentLogger,
};
