import type { ControllerSettings } from './controller.ts';
import { prowLayout } from './results/paths.ts';
import type { Publishing } from './results/published.ts';
import { objectsUrl } from './store/open-objects.ts';

const defaultPrefix = 'results/';

/** Where this farm publishes what its runs leave. */
export function publishingOf(settings: Pick<ControllerSettings, 'objectsDir' | 's3' | 'results'>): Publishing {
  const { prefix = defaultPrefix, ...layout } = settings.results ?? {};
  return {
    layout: { ...prowLayout, ...layout },
    prefix,
    url: `${objectsUrl(settings)}/${prefix}`.replace(/\/$/, ''),
  };
}
