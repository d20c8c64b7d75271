/**
 * The script form: makes `Shaveet` a global.
 *
 * A page that includes the file twice keeps the object of the first time, with
 * its listeners and its one poll loop. (`init` is asked for, because an element
 * with the id "Shaveet" is a property of the window too.)
 */

import { createClient } from './client';
import { browser } from './environment';
import type { Page } from './types';

const page = window as unknown as { Shaveet?: Partial<Page> };

if (!page.Shaveet || !page.Shaveet.init) page.Shaveet = createClient(browser());
