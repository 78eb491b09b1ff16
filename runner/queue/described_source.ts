/** What the operator declared about a video, as `describe_source` returns it. */
import { z } from "zod";

export const describedSource = z.object({ rights: z.string().nullable(), title: z.string().nullable() });
