import { Type } from 'typebox';

/** Parts of paths and queries that several routes share. */
export const runId = Type.String({ pattern: '^[0-9]{1,20}$' });
export const token = Type.String({ pattern: '^[A-Za-z0-9_-]{1,64}$' });
export const limit = Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000 }));
export const defaultLimit = 50;
