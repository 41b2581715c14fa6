import { isAppError } from '../errors.ts';
import { PRIMARY_WISH_ID } from '../schema/resources.ts';
import type { OperationContext } from './context.ts';
import { updateResource } from './update-resource.ts';

/**
 * Marks a wish for the primary as answered, so that it is carried out once and not again whenever its node comes back.
 * A newer wish stays.
 */
export async function settlePrimaryWish(context: Pick<OperationContext, 'store' | 'mirror'>, generation: number): Promise<void> {
  try {
    await updateResource(context, { kind: 'primary-wish', id: PRIMARY_WISH_ID }, (wish) =>
      wish.generation !== generation || (wish.node === null && wish.avoid === null) ? wish : { node: null, avoid: null, generation },
    );
  } catch (error) {
    if (!isAppError(error, 'not-found')) throw error;
  }
}
