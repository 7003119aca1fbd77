import { Compile } from 'typebox/compile';
import { Delivery } from '../protocol/delivery.ts';
import { Notice, parseNoticeSubject } from '../protocol/notice.ts';
import type { ControllerDeps, ControllerSettings } from './controller.ts';
import { archiveLog } from './logs/archive.ts';
import { readSegments } from './logs/segments.ts';
import { publishingOf } from './publishing.ts';
import type { Replica } from './replica.ts';
import type { Reporting } from './reporting.ts';
import { archiveRun } from './results/archive-run.ts';
import { type JobsLoad, Lead } from './schedule/lead.ts';
import { makeTask } from './schedule/make-task.ts';
import { hearBeats } from './store/beats.ts';
import { readStream } from './store/inputs.ts';
import { secretsIn } from './store/secrets.ts';
import { stepsOf } from './store/specs.ts';
import { publishTask } from './store/tasks.ts';
import type { RunsWriter } from './store/writer.ts';
import { judge } from './trigger/judge.ts';

const logPatienceMs = 10 * 60_000;
const deliveries = Compile(Delivery);
const notices = Compile(Notice);

/** Makes the leader's part of a controller for a term that it has won. */
export function leading(
  replica: Replica,
  settings: ControllerSettings,
  { now, wallMs, probe }: ControllerDeps,
  loadJobs: () => Promise<JobsLoad>,
  report: Reporting,
): (term: number, writer: RunsWriter) => Lead {
  const { nc, js, jsm, objects, confirmed, log } = replica;
  const secret = secretsIn(settings.secretsDir);
  const publishing = publishingOf(settings);
  const readSteps: Parameters<typeof judge>[4]['stepsOf'] = (run) => stepsOf(run, objects);
  const storedDelivery = async (seq: number) => {
    const message = await jsm.streams.getMessage('DELIVERIES', { seq }).catch(() => null);
    return message ? parsed(deliveries, message) : undefined;
  };

  return (term, writer) => {
    const reports = report.forTerm(() => lead);
    const lead: Lead = new Lead({
      term,
      confirmed,
      writer,
      times: settings.times,
      log: log.child({ term }),
      now,
      wallMs,
      ...(probe ? { probe } : {}),
      loadJobs,
      judge: (delivery, seq, farm, jobs, signal) =>
        judge(delivery, seq, farm, jobs, {
          objects,
          stepsOf: readSteps,
          archivedRun: replica.archivedRun,
          storedDelivery,
          log,
          wallMs,
          signal,
        }),
      deliveries: async function* (fromSeq, signal) {
        for await (const m of readStream(js, 'DELIVERIES', fromSeq, { signal, log })) {
          const delivery = parsed(deliveries, m);
          if (delivery) yield { seq: m.seq, delivery };
          else log.error({ subject: m.subject, seq: m.seq }, 'a delivery that is not understood was passed over');
        }
      },
      notices: async function* (fromSeq, signal) {
        for await (const m of readStream(js, 'NOTICES', fromSeq, { signal, log })) {
          const address = parseNoticeSubject(m.subject);
          const notice = parsed(notices, m);
          yield { seq: m.seq, ...(address ? { address } : {}), ...(notice ? { notice } : {}) };
        }
      },
      beats: (hear) => hearBeats(nc, log, hear),
      makeTask: (run, agent, key, atTerm) =>
        makeTask(run, agent, key, atTerm, {
          agent: (id) => confirmed.farm.agents.get(id),
          stepsOf: readSteps,
          secret,
          keys: replica.keys,
          curveSeed: settings.nats.curveSeed,
          maxLogBytes: settings.maxLogBytes,
        }),
      publishTask: async (task, again) => void (await publishTask(js, jsm, task, { again })),
      archive: (run, signal) =>
        archiveRun(run, {
          objects,
          archiveLog: (key, how) =>
            archiveLog(key, { ...how, unlessStoredSinceMs: wallMs() - logPatienceMs }, { store: replica.logs, objects }),
          readLog: async function* (key) {
            for await (const { bytes } of readSegments(objects, key, 0)) yield bytes;
          },
          publishing,
          wallMs,
          logPatienceMs,
          signal,
        }),
      purge: async (seq, settled) => {
        await jsm.streams.purge('RUNS', { seq });
        if (settled > 0) await jsm.streams.purge('NOTICES', { seq: settled + 1 });
      },
      ...(reports ? { reports } : {}),
    });
    return lead;
  };
}

function parsed<T>(schema: { Check: (value: unknown) => value is T }, message: { json: () => unknown }): T | undefined {
  try {
    const value = message.json();
    return schema.Check(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
