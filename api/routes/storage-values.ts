import { AppError } from '../../common/errors.ts';
import { flag, freeText, text } from '../params/values.ts';

/** Longest name that is looked up; what somebody else made may have any. */
const NAME_MAX_CHARS = 255;

/** A name that somebody may have given. */
export const givenName = freeText(NAME_MAX_CHARS);

/** What the paths of the storage endpoints name, exactly. */
export const pool = text(givenName, 'Name of the pool, exactly.');
export const volume = text(givenName, 'Name of the volume, exactly.');
export const snapshot = text(givenName, 'Name of the snapshot, exactly.');

/** What destroys data wants it said twice. */
export const reallyMeanIt = flag('Must be set: what is asked for destroys data.');
export const REALLY_MEAN_IT_ALIASES = { 'yes-i-really-mean-it': 'yes_i_really_mean_it' } as const;

/** @throws AppError 'invalid' unless it was set. */
export function refuseUnlessMeant(meant: boolean): void {
  if (!meant) throw new AppError('invalid', 'this destroys data, so yes_i_really_mean_it must be set');
}
