import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isJUnit, junitLimits, junitReader } from '../../../controller/results/junit.ts';
import type { JUnitReport } from '../../../protocol/artifact.ts';

function read(xml: string | Buffer, limits: Partial<typeof junitLimits> = {}, pieceBytes = 64 * 1024): JUnitReport {
  const reader = junitReader({ ...junitLimits, ...limits } as typeof junitLimits);
  const bytes = Buffer.from(xml);
  for (let at = 0; at < bytes.length; at += pieceBytes) reader.write(bytes.subarray(at, at + pieceBytes));
  return reader.end();
}
const totals = ({ tests, failures, errors, skipped, timeS }: JUnitReport) => [tests, failures, errors, skipped, timeS];

const small = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="all" tests="7" failures="9">
 <testsuite name="a">
  <properties><property name="x" value="1"/></properties>
  <testcase classname="pkg.A" name="passes" time="0.5"/>
  <testcase classname="pkg.A" name="fails" time="1,000.25"><failure message="want 1 &lt; 2" type="T">trace &amp; more<![CDATA[ <cdata> ]]>end</failure></testcase>
  <testsuite name="inner"><testcase name="breaks"><error>boom
second line</error><system-out>x</system-out></testcase></testsuite>
 </testsuite>
 <testcase name="left out"><skipped message="why"/></testcase>
 <testcase name="twice"><failure message="one"/><failure message="two"/><error/></testcase>
 <system-out>é € ${'\u{1f600}'}</system-out>
</testsuites>`;

describe('test reports', () => {
  for (const pieceBytes of [1, 7, 64 * 1024])
    test(`are counted by their tests, not by what they state of themselves (pieces of ${pieceBytes} bytes)`, () => {
      const report = read(small, {}, pieceBytes);
      assert.deepEqual(totals(report), [5, 2, 1, 1, 1000.75]);
      assert.equal(report.problem, undefined);
      assert.deepEqual(report.failed, [
        { kind: 'failure', name: 'fails', classname: 'pkg.A', message: 'want 1 < 2', text: 'trace & more <cdata> end' },
        { kind: 'error', name: 'breaks', classname: '', message: 'boom', text: 'boom\nsecond line' },
        { kind: 'failure', name: 'twice', classname: '', message: 'one', text: '' },
        { kind: 'error', name: 'twice', classname: '', message: '', text: '' },
      ]);
    });

  test('a single suite is a report, and so is one without tests', () => {
    assert.deepEqual(totals(read('<testsuite><testcase name="a"/></testsuite>')), [1, 0, 0, 0, 0]);
    assert.deepEqual(totals(read('<testsuites/>')), [0, 0, 0, 0, 0]);
  });

  test('entities are not expanded: a report with a DOCTYPE is not read on', () => {
    const lol = Array.from({ length: 9 }, (_, i) => `<!ENTITY l${i + 1} "${`&l${i};`.repeat(10)}">`).join('');
    const started = performance.now();
    const report = read(
      `<?xml version="1.0"?><!DOCTYPE r [<!ENTITY l0 "lol">${lol}]><testsuite><testcase name="&l9;"/></testsuite>`,
    );
    assert.match(report.problem ?? '', /DOCTYPE/);
    assert.equal(report.tests, 0);
    assert.ok(performance.now() - started < 1_000);
    const external = read('<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><testsuite><testcase name="&x;"/></testsuite>');
    assert.match(external.problem ?? '', /DOCTYPE/);
    assert.match(read('<testsuite><testcase name="&unknown;"/></testsuite>').problem ?? '', /well-formed/);
  });

  test('a million tests are counted and few of them kept', () => {
    const reader = junitReader();
    const many = Buffer.from('<testcase name="n"><failure/></testcase>'.repeat(1_000));
    reader.write(Buffer.from('<testsuite>'));
    for (let i = 0; i < 1_000; i += 1) reader.write(many);
    reader.write(Buffer.from('<testcase/></testsuite>'));
    const report = reader.end();
    assert.equal(report.tests, 1_000_000);
    assert.equal(report.failures, 1_000_000);
    assert.equal(report.failed.length, junitLimits.failures);
    assert.equal(report.more, 1_000_000 - junitLimits.failures);
    assert.match(report.problem ?? '', /more than 1000000 tests/);
  });

  test('deep nesting, endless pieces and endless files end the reading', () => {
    assert.match(read('<a>'.repeat(1_000)).problem ?? '', /nested more than 64/);
    assert.match(read(`<testsuite name="${'x'.repeat(1_000)}`, { piece: 500 } as object).problem ?? '', /piece longer/);
    assert.match(
      read(`<testsuite><testcase/>${' '.repeat(1_000)}`, { bytes: 500 } as object, 100).problem ?? '',
      /first 500 bytes/,
    );
    const kept = read(`<testsuite><testcase/>${' '.repeat(1_000)}<testcase/></testsuite>`, { bytes: 500 } as object, 100);
    assert.equal(kept.tests, 1, 'what stands before the limit counts');
  });

  test('long texts are cut', () => {
    const report = read(
      `<testsuite><testcase name="${'n'.repeat(9_000)}"><failure>${'t'.repeat(100_000)}</failure></testcase></testsuite>`,
    );
    const [failed] = report.failed;
    assert.deepEqual([failed?.name.length, failed?.message.length, failed?.text.length], [512, 1024, 4096]);
    assert.equal(report.problem, undefined);
  });

  test('what is no XML, or half of one, is a problem of the report and of nothing else', () => {
    for (const bad of ['', 'no xml', '<a', '<a></b>', '\0\0\0', Buffer.from([0xff, 0xfe, 0x3c, 0]), '{"json": true}'])
      assert.ok(read(bad).problem, JSON.stringify(String(bad)));
    const half = read('<testsuite><testcase name="a"/><testcase name="b"><failure message="m">text');
    assert.deepEqual([half.tests, half.failed.length], [2, 1]);
    assert.match(half.problem ?? '', /well-formed/);
  });

  test('control characters that programs print do not spoil a report', () => {
    const report = read(
      '<testsuite><testcase name="a"><failure message="\u001b[31mred">\u0000\u0008bell</failure></testcase></testsuite>',
    );
    assert.equal(report.problem, undefined);
    assert.deepEqual(report.failed[0]?.message, ' [31mred');
  });

  test('its name says what a report is', () => {
    for (const path of ['junit.xml', 'junit_01.xml', 'a/b/junit-e2e.xml', 'junit/junit.xml']) assert.ok(isJUnit(path), path);
    for (const path of ['report.xml', 'junit.xml.gz', 'junit/a.xml', 'xjunit.xml', 'junit.txt']) assert.ok(!isJUnit(path), path);
  });
});
