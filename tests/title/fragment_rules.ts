/** The rules of RFC 8216bis §3.3 for initialization sections and fragments, and those of pitfalls that players have. */
import { children, find, type View } from "./box_reader.ts";

export interface FragmentState {
  readonly sequence: number;
  /** The next fragment's decoding time. */
  readonly decode: number;
}

export function initProblems(view: View): { problems: string[]; trackId: number; timescale: number } {
  const { data, bytes } = view;
  const problems: string[] = [];
  const need = (condition: boolean, problem: string) => condition || problems.push(`init: ${problem}`);
  const [ftyp, moov, ...rest] = children(view);
  need(ftyp?.type === "ftyp" && moov?.type === "moov" && rest.length === 0, "is not ftyp and moov");
  const brands = String.fromCharCode(...bytes.subarray(ftyp!.body, ftyp!.end));
  need(brands.includes("iso6"), "is not compatible with iso6");
  const traks = children(view, moov!.body, moov!.end).filter(({ type }) => type === "trak");
  need(traks.length === 1, `has ${traks.length} tracks`);
  const trak = traks[0]!;
  const at = (path: readonly string[]) => find(view, path, trak)!;
  const long = (box: { body: number }) => data.getUint8(box.body) === 1;
  const [mvhd, tkhd, mdhd] = [find(view, ["moov", "mvhd"])!, at(["tkhd"]), at(["mdia", "mdhd"])];
  const trackId = data.getUint32(tkhd.body + (long(tkhd) ? 20 : 12));
  need(mvhd.size === (long(mvhd) ? 120 : 108), "mvhd has another length than its fields");
  need(tkhd.size === (long(tkhd) ? 104 : 92), "tkhd has another length than its fields");
  need(mdhd.size === (long(mdhd) ? 44 : 32), "mdhd has another length than its fields");
  need(data.getUint32(mvhd.body + (long(mvhd) ? 28 : 16)) === 0, "mvhd has a duration");
  need(data.getUint32(tkhd.body + (long(tkhd) ? 32 : 20)) === 0, "tkhd has a duration");
  need((data.getUint32(tkhd.body) & 3) === 3, "the track is disabled");
  for (const [type, count] of [["stts", 4], ["stsc", 4], ["stsz", 8], ["stco", 4]] as const) {
    const table = find(view, ["mdia", "minf", "stbl", type], trak);
    need(table !== null && data.getUint32(table.body + count) === 0, `${type} has entries`);
  }
  const dref = at(["mdia", "minf", "dinf", "dref"]);
  need(children(view, dref.body + 8, dref.end).every(({ body }) => bytes[body + 3] === 1), "refers to another file");
  const trex = find(view, ["moov", "mvex", "trex"]);
  need(trex !== null && data.getUint32(trex.body + 4) === trackId, "mvex does not name the track");
  const stsd = at(["mdia", "minf", "stbl", "stsd"]);
  const entries = children(view, stsd.body + 8, stsd.end).map(({ type }) => type);
  need(!entries.includes("hev1"), "has hev1, which Apple's players refuse");
  const elst = find(view, ["edts", "elst"], trak);
  need(elst === null || data.getUint32(elst.body + 4) === 1, "has more than one edit");
  need(elst === null || data.getUint8(elst.body) === 1 && data.getBigInt64(elst.body + 16) >= 0n, "has an empty edit");
  return { problems, trackId, timescale: data.getUint32(mdhd.body + (long(mdhd) ? 20 : 12)) };
}

export interface ReadFragment {
  readonly problems: readonly string[];
  readonly state: FragmentState;
  readonly samples: number;
  /** Of all samples. */
  readonly ticks: number;
  /** Where the samples start in the fragment. */
  readonly payloadAt: number;
  /** Number of samples in the first bytes of the payload. */
  readonly leading: (bytes: number) => number;
}

export function fragmentProblems(
  view: View,
  { trackId, state, iFrames, isVideo }: { trackId: number; state: FragmentState; iFrames: boolean; isVideo: boolean },
): ReadFragment {
  const { data } = view;
  const problems: string[] = [];
  const need = (condition: boolean, problem: string) => condition || problems.push(problem);
  const moofBytes = data.getUint32(0);
  const mdatBytes = data.getUint32(moofBytes);
  const mdatType = String.fromCharCode(...view.bytes.subarray(moofBytes + 4, moofBytes + 8));
  need(mdatType === "mdat", "has no mdat after moof");
  need(iFrames || moofBytes + mdatBytes === view.bytes.length, "is not exactly moof and mdat");
  const [moof] = children(view, 0, moofBytes);
  const inside = children(view, moof!.body, moof!.end).map(({ type }) => type);
  need(moof!.type === "moof" && inside.join() === "mfhd,traf", `moof has ${inside}`);
  const at = (type: string) => find(view, ["moof", "traf", type])!;
  const [mfhd, tfhd, tfdt, trun] = [find(view, ["moof", "mfhd"])!, at("tfhd"), at("tfdt"), at("trun")];
  const sequence = data.getUint32(mfhd.body + 4);
  need(iFrames || sequence === state.sequence + 1, `has sequence number ${sequence}`);
  const flags = data.getUint32(tfhd.body) & 0xffffff;
  need((flags & 0x020000) !== 0 && (flags & 1) === 0, "is not addressed relative to moof");
  need(data.getUint32(tfhd.body + 4) === trackId, "is of another track");
  let field = tfhd.body + 8;
  const next = (flag: number) => (flags & flag) === 0 ? null : data.getUint32((field += 4) - 4);
  const [, sameDuration, sameSize, sameFlags] = [next(0x2), next(0x8), next(0x10), next(0x20)];
  const decode = Number(data.getBigUint64(tfdt.body + 4));
  need(iFrames || decode === state.decode, `starts at ${decode}, the one before ends at ${state.decode}`);
  const runFlags = data.getUint32(trun.body);
  const samples = data.getUint32(trun.body + 4);
  need(samples > 0, "is empty");
  need(data.getUint8(trun.body) === 0, "trun is not of version 0");
  need(data.getUint32(trun.body + 8) === moofBytes + 8, "its samples do not start after the header of mdat");
  let row = trun.body + 12;
  const firstFlags = (runFlags & 0x4) === 0 ? null : data.getUint32((row += 4) - 4);
  let [ticks, bytes] = [0, 0];
  const sizes: number[] = [];
  for (let i = 0; i < samples; i++) {
    const read = (flag: number) => (runFlags & flag) === 0 ? null : data.getUint32((row += 4) - 4);
    const [duration, size, own, composition] = [read(0x100), read(0x200), read(0x400), read(0x800)];
    ticks += duration ?? sameDuration ?? 0;
    sizes.push(size ?? sameSize ?? 0);
    bytes += sizes[i]!;
    const sampleFlags = own ?? (i === 0 ? firstFlags : null) ?? sameFlags ?? 0;
    if (i === 0 && isVideo) need((sampleFlags & 0x010000) === 0, "does not start with a key frame");
    if (composition !== null) need(composition < 0x80000000, "has a negative composition offset");
  }
  need(row === trun.end, "trun does not have its samples");
  need(mdatBytes === bytes + 8, `mdat has ${mdatBytes - 8} bytes, the samples ${bytes}`);
  if (iFrames) need(view.bytes.length === moofBytes + 8 + sizes[0]!, "is not exactly one frame");
  const leading = (length: number) => {
    let [count, sum] = [0, 0];
    while (sum < length && count < sizes.length) sum += sizes[count++]!;
    return count;
  };
  return { problems, state: { sequence, decode: decode + ticks }, samples, ticks, payloadAt: moofBytes + 8, leading };
}
