/**
 * Runs all and waits for all, also when one fails: what is still at work would write into a directory that another attempt
 * has begun to use. Then throws the first error.
 */
export async function inParallel<A, B, C>(work: [Promise<A>, Promise<B>, Promise<C>]): Promise<[A, B, C]> {
  await Promise.allSettled(work);
  return Promise.all(work);
}
