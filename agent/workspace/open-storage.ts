import { join } from 'node:path';
import { checkShared, mountNfs } from './nfs-mount.ts';

/**
 * The storage of `--shared`, shown to work.
 * @param what `nfs://HOST[:PORT]/EXPORT`, mounted below `dataDir`, or a directory that someone else has mounted
 * @throws NFS_UNUSABLE
 */
export async function openStorage(what: string, dataDir: string): Promise<{ dir: string; close: () => Promise<void> }> {
  if (!what.startsWith('nfs:')) {
    await checkShared(what);
    return { dir: what, close: async () => {} };
  }
  const { dir, unmount } = await mountNfs(what, join(dataDir, 'shared'));
  return { dir, close: unmount };
}
