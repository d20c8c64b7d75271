'use strict';

// Whether points come as they were made: each once, one after the other, at
// equal distances. Nothing but their times is needed to tell.

const KEPT = 100; // distances that the usual one is known by
const DAY = 86_400_000; // ms
const YORE = 60_000; // ms; what is older comes of a clock that was set back

/* exported isPoint, Order */

/** Whether data are a point of about that time. Others would be a hole of years, or all there is to see. */
const isPoint = (data, now) => Number.isFinite(data?.x) && Number.isFinite(data.y) && Math.abs(data.x - now) <= DAY;

class Order {
  /** The connection was lost since the last point. */
  lost = false;
  #last;
  #steps = []; // ms between points that nothing is missing between

  /**
   * Takes the next point's time, and returns undefined if the point was here
   * already. Otherwise: `hole` says between which times points are missing
   * before it, about how many, and whether the connection was lost meanwhile;
   * `anew`: what was before it is of another time altogether.
   */
  next(x) {
    if (x <= this.#last) {
      if (this.#last - x < YORE) return undefined;
      this.#last = undefined;
      this.#steps = [];
      return { anew: true, ...this.next(x) };
    }
    const from = this.#last;
    const { lost } = this;
    this.#last = x;
    this.lost = false;
    if (from === undefined) return {};
    const step = x - from;
    if (step <= this.#longest(lost)) {
      this.#steps.push(step);
      if (this.#steps.length > KEPT) this.#steps.shift();
      return {};
    }
    const count = this.#steps.length && Math.max(1, Math.round(step / this.#usual()) - 1);
    this.#steps.shift(); // in the end what was unusual is usual: the producer has another pace
    return { hole: { from, to: x, count, lost } };
  }

  #usual() {
    const sorted = [...this.#steps].sort((a, b) => a - b);
    return sorted[sorted.length >> 1];
  }

  /**
   * The longest step with nothing missing: half as long again as the longest
   * that there was, so from a producer that keeps time one missing point is
   * seen. One that does not is given up to three times the usual.
   */
  #longest(lost) {
    if (this.#steps.length === 0) return lost ? 0 : Infinity;
    return Math.min(1.5 * Math.max(...this.#steps), 3 * this.#usual());
  }
}
