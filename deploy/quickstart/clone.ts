import { execa } from 'execa';

export type DemoClone = {
  /** For `clone_uri`. */
  uri: string;
  /** The commit that is said to be pushed to main. */
  head: string;
  pull: { number: number; sha: string };
};

const identity = ['-c', 'user.name=Codertocat', '-c', 'user.email=codertocat@example.invalid'];

/** A bare clone of this checkout's HEAD with a `main` and a pull request, as GitHub lays them out. What is not committed is not in it. */
export async function cloneForDemo(root: string, dir: string): Promise<DemoClone> {
  const git = async (...args: string[]) => (await execa('git', args)).stdout.trim();
  await git('clone', '--quiet', '--bare', '--no-hardlinks', root, dir);
  const inClone = (...args: string[]) => git('-C', dir, ...args);
  const head = await inClone('rev-parse', 'HEAD');
  const tree = await inClone('rev-parse', `${head}^{tree}`);
  const number = 2;
  const sha = await inClone(...identity, 'commit-tree', tree, '-p', head, '-m', 'Update the README with new information.');
  await inClone('update-ref', 'refs/heads/main', head);
  await inClone('update-ref', `refs/pull/${number}/head`, sha);
  return { uri: `file://${dir}`, head, pull: { number, sha } };
}
