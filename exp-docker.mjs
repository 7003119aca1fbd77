import Docker from 'dockerode';
import { createHash } from 'node:crypto';
const d = new Docker({ socketPath: '/tmp/dk/sock' });
const t0 = performance.now(); const T = () => (performance.now()-t0).toFixed(0);
async function* frames(stream) {
  let buf = Buffer.alloc(0);
  for await (const c of stream) { buf = buf.length ? Buffer.concat([buf, c]) : c;
    let p=0; while (buf.length-p >= 8) { const n = buf.readUInt32BE(p+4); if (buf.length-p < 8+n) break; yield { s: buf[p], b: buf.subarray(p+8, p+8+n)}; p += 8+n; }
    buf = buf.subarray(p); }
}
async function go(cmd, host={}) {
  const c = await d.createContainer({ Image: 'thresh-test:1', Cmd: ['sh','-c',cmd], HostConfig: { Init: true, NetworkMode: 'none', LogConfig: { Type: 'local', Config: { 'max-size': '1000g', 'max-file': '1', compress: 'false' } }, ...host } });
  console.log(T(), 'created');
  await c.start(); console.log(T(), 'started');
  const w = c.wait().then(r => { console.log(T(), 'wait', JSON.stringify(r)); });
  const s = await c.logs({ follow: true, stdout: true, stderr: true });
  let n=0, first, k=0; const h = createHash('md5');
  for await (const f of frames(s)) { first ??= T(); n += f.b.length; k++; h.update(f.b); }
  console.log(T(), 'follow end', n, 'frames', k, 'first', first, h.digest('hex'));
  await w;
  const i = await c.inspect(); console.log(T(), i.State.OOMKilled, i.State.ExitCode, i.State.Status, i.State.Error);
  const all = await c.logs({ follow: false, stdout: true, stderr: true });
  const h2 = createHash('md5'); let m = 0;
  { let p=0; while (p < all.length) { const l = all.readUInt32BE(p+4); m += l; h2.update(all.subarray(p+8,p+8+l)); p+=8+l; } }
  console.log('re-read', m, h2.digest('hex'));
  await c.remove({ force: true });
}
await go('echo hi; echo no-eol >&2; printf x');
await go('cat /dev/urandom | head -c 5000001');
await go('tail /dev/zero', { Memory: 16*1024*1024, MemorySwap: 16*1024*1024 });
await go('(tail /dev/zero); echo survived', { Memory: 16*1024*1024, MemorySwap: 16*1024*1024 });
await go('yes 0123456789012345678901234567890123456789012345678901234567890123456789 | head -c 200000000');
await go('nonexist');
