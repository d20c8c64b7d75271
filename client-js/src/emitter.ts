import type { Undo } from './types';

/** The name for those that have no listeners of their own, and for what has no name. */
export const ANY = '*';

/** Gets a value, and a way to ask whether it is still wanted. */
export type Listener<T> = (value: T, listening: () => boolean) => void;

/** Keeps listeners by name and calls them. They must not throw. */
export interface Emitter<T> {
  on(name: string, listener: Listener<T>): Undo;
  /** Drops all listeners of `name`. */
  off(name: string): void;
  /** Calls the listeners of `name`, in the order they came; false if there are none. */
  emit(name: string, value: T): boolean;
}

export function createEmitter<T>(): Emitter<T> {
  // A Map, because names come from outside and any object already has a "constructor".
  const all = new Map<string, Set<{ readonly listener: Listener<T> }>>();
  return {
    on(name, listener) {
      const entry = { listener }; // the same function may be given twice, and is then called twice
      const entries = all.get(name) || new Set();
      all.set(name, entries.add(entry));
      return () => {
        entries.delete(entry);
        if (!entries.size && all.get(name) === entries) all.delete(name);
      };
    },
    off(name) {
      const entries = all.get(name);
      if (entries) entries.clear();
      all.delete(name);
    },
    emit(name, value) {
      const entries = all.get(name);
      if (!entries) return false;
      // A copy, so that one who comes meanwhile starts with the next value.
      for (const entry of [...entries]) {
        const listening = () => entries.has(entry);
        if (listening()) entry.listener(value, listening);
      }
      return true;
    },
  };
}
