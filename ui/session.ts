import { signal } from '@preact/signals';
import type { Session } from '../protocol/session.ts';

/** Who is logged in; null: nobody; undefined: not known yet. */
export const session = signal<Partial<Session> | null | undefined>(undefined);
