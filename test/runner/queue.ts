/** So many places: jobs begin in their order, each as soon as there are places enough for it. */

export interface Job {
  /** Most that there are: the job runs alone. */
  readonly places: number;
  /** @param place the first of its own: no other job has it meanwhile */
  readonly run: (place: number) => Promise<void>;
}

/** @param stopped once true, no further job begins; those under way are waited for */
export async function runQueue(jobs: readonly Job[], places: number, stopped: () => boolean): Promise<void> {
  const taken = new Array<boolean>(places).fill(false);
  const underWay = new Set<Promise<void>>();
  for (const job of jobs) {
    const wanted = Math.min(job.places, places);
    for (;;) {
      if (stopped()) break;
      const free = taken.flatMap((isTaken, place) => (isTaken ? [] : [place]));
      if (free.length >= wanted) {
        const own = free.slice(0, wanted);
        for (const place of own) taken[place] = true;
        const run = job.run(own[0] ?? 0).finally(() => {
          for (const place of own) taken[place] = false;
          underWay.delete(run);
        });
        underWay.add(run);
        break;
      }
      await Promise.race(underWay);
    }
  }
  await Promise.all(underWay);
}
