/** Caches a result for `ms` and shares one call between concurrent callers. */
export function shareFor<T>(ms: number, read: () => Promise<T>): () => Promise<T> {
  let shared: Promise<T> | null = null;
  return () => {
    if (shared !== null) return shared;
    const response = shared = read();
    const expire = () => Deno.unrefTimer(setTimeout(() => shared = null, ms));
    response.then(expire, expire);
    return response;
  };
}
