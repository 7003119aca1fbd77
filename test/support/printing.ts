import { createHash } from 'node:crypto';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Steps that print a numbered line every 20 ms until they are let go, and write the same to a witness outside of the farm. */
export type Printing = {
  /** For the `process` executor. */
  shell: string;
  /** For the `scripted` executor, which can count only as far as it was told: `lines` of them, then it waits to be let go. */
  scripted: (lines: number) => string;
  letGo: () => Promise<void>;
  written: (by: 'shell' | 'scripted') => Promise<string>;
};

/** @param farmDir a farm's directory; steps of another user must be able to pass it */
export async function printingIn(farmDir: string): Promise<Printing> {
  const dir = join(farmDir, 'witness');
  await mkdir(dir);
  await chmod(farmDir, 0o711);
  await chmod(dir, 0o777);
  const go = join(dir, 'go');
  return {
    shell: [
      'i=0',
      `while [ ! -e ${go} ]; do`,
      '  i=$((i+1))',
      `  printf 'line %07d of a step that nobody may kill\\n' "$i" | tee -a ${dir}/shell`,
      '  sleep 0.02',
      'done',
    ].join('\n'),
    scripted: (lines) =>
      [
        ...Array.from({ length: lines }, (_, i) => `print line ${i}\nappend ${dir}/scripted line ${i}\nsleep 20`),
        `wait-file ${go}`,
      ].join('\n'),
    letGo: () => writeFile(go, ''),
    written: (by) => readFile(join(dir, by), 'utf8').catch(() => ''),
  };
}

export const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
