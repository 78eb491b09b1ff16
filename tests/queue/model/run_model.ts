/**
 * Random operations on the real functions, each compared with the reference and followed by all
 * invariants.
 *
 * @example await runModel(queue, { seed: 7, operations: 300 }); // throws with seed, step and operation
 */
import type { QueueFixture } from "../fixture/queue_fixture.ts";
import { ModelRun } from "./model_run.ts";
import { createRandom } from "./random.ts";

export interface ModelOptions {
  readonly seed: number;
  readonly operations: number;
}

/** How many operations of each name were accepted or refused, over all steps. */
export type ModelSummary = Readonly<Record<string, number>>;

export async function runModel(queue: QueueFixture, options: ModelOptions): Promise<ModelSummary> {
  const run = new ModelRun(queue, createRandom(options.seed));
  const trace: string[] = [];
  try {
    for (let step = 0; step < options.operations; step++) trace.push(await run.step());
    trace.push("drain");
    await run.drain();
  } catch (error) {
    const last = trace.slice(-12).join("\n  ");
    throw new Error(`seed ${options.seed}, step ${trace.length} (${run.operation}), after\n  ${last}\n${error}`, {
      cause: error,
    });
  } finally {
    await run.anon.end();
  }
  return run.summary;
}
