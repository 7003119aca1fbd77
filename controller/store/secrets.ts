import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { FarmError, messageOf } from '../../protocol/errors.ts';

/** Most bytes of one secret: they travel inside a task. */
const maxBytes = 64 * 1024;
const secretName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/**
 * The farm's named secrets: the files of one directory, read when a task is given out, so a changed one needs no restart. One newline at the end
 * is not part of it.
 * @throws FarmError BAD_SECRET
 */
export const secretsIn =
  (dir: string | undefined) =>
  async (name: string): Promise<Buffer> => {
    if (dir === undefined)
      throw new FarmError('BAD_SECRET', { name, detail: 'this farm has no secrets; start it with --secrets DIR' });
    if (!secretName.test(name)) throw new FarmError('BAD_SECRET', { name, detail: 'this cannot be the name of a secret' });
    try {
      await using file = await open(join(dir, name), 'r');
      const { size } = await file.stat();
      if (size > maxBytes) throw new RangeError(`it is larger than ${maxBytes} bytes`);
      const bytes = await file.readFile();
      return bytes.at(-1) === 0x0a ? bytes.subarray(0, -1) : bytes;
    } catch (error) {
      const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
      throw new FarmError(
        'BAD_SECRET',
        { name, detail: missing ? 'there is none of this name' : messageOf(error) },
        { cause: error },
      );
    }
  };
