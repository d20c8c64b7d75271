import type { Environment } from './environment';

/**
 * A listener that throws disturbs no other, and not the loop. It is told on
 * the console and not thrown again later: the original swallowed it, and a
 * page may take what reaches window.onerror for its own end.
 */
export const guard =
  (env: Environment) =>
  <T>(listener: (value: T) => void, value: T): void => {
    try {
      listener(value);
    } catch (error) {
      env.report(error);
    }
  };
