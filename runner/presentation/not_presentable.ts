/** The file stays an ordinary MP4. The message says why, for people: it is stored with the archive. */
export class NotPresentable extends Error {
  override readonly name = "NotPresentable";
}
