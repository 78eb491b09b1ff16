/** One answer for everybody who asks within some time, and one question under way at most. Runs on: Deno. */
export function shareFor<T>(ms: number, read: () => Promise<T>): () => Promise<T> {
  let shared: Promise<T> | null = null;
  return () => {
    if (shared !== null) return shared;
    const answer = shared = read();
    const expire = () => Deno.unrefTimer(setTimeout(() => shared = null, ms));
    answer.then(expire, expire);
    return answer;
  };
}
