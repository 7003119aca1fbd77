import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Compile } from 'typebox/compile';
import { describeProblems, summarise } from '../../../controller/jobs/describe.ts';
import { loadJobs } from '../../../controller/jobs/load.ts';
import { Job } from '../../../protocol/job.ts';

const archive = fileURLToPath(new URL('../../../../shared/data/kubernetes-test-infra-config.tar.gz', import.meta.url));
const skip = existsSync(archive) ? false : "the Kubernetes project's configuration is not beside this checkout";

test("the Kubernetes project's configuration loads as it is", { skip }, async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'thresh-kubernetes-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  await promisify(execFile)('tar', ['-xzf', archive, '-C', dir, 'config/jobs']);
  const began = performance.now();
  const loaded = await loadJobs(join(dir, 'config/jobs'));
  t.diagnostic(`loaded in ${Math.round(performance.now() - began)} ms`);
  assert.equal(describeProblems(loaded.problems), '');
  // 603 files, of which a .prowignore leaves out one.
  assert.match(summarise(loaded), /^602 files, 6079 jobs \(3565 periodic, 253 postsubmit, 2261 presubmit\), /);
  const job = Compile(Job);
  for (const j of loaded.config?.jobs ?? []) assert.ok(job.Check(j), j.name);
});
