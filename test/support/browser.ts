import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { findOnPath } from './need.ts';

/** A headless Chromium; each test opens pages in contexts of their own, so that no cookie goes from one to the next. */
export class TestBrowser implements AsyncDisposable {
  readonly #browser: Browser;
  private constructor(browser: Browser) {
    this.#browser = browser;
  }

  static async start(): Promise<TestBrowser> {
    const executablePath = findOnPath('chromium') ?? findOnPath('google-chrome') ?? 'chromium';
    const args = [
      ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
      ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
    ];
    return new TestBrowser(await chromium.launch({ executablePath, args, headless: true }));
  }

  /** @param at address of the farm */
  async open(at: string, o: { dark?: boolean; width?: number; height?: number } = {}): Promise<TestPage> {
    const { dark = false, width = 1280, height = 900 } = o;
    const context = await this.#browser.newContext({
      baseURL: at,
      colorScheme: dark ? 'dark' : 'light',
      viewport: { width, height },
      reducedMotion: 'reduce',
    });
    context.setDefaultTimeout(10_000);
    return new TestPage(context, await context.newPage());
  }

  async stop(): Promise<void> {
    await this.#browser.close();
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

export class TestPage {
  readonly context: BrowserContext;
  readonly page: Page;
  /** What the page has complained about: exceptions, errors on its console, breaches of its policy. */
  readonly complaints: string[] = [];

  constructor(context: BrowserContext, page: Page) {
    this.context = context;
    this.page = page;
    page.on('pageerror', (error) => this.complaints.push(String(error)));
    page.on('console', (m) => {
      if (m.type() === 'error' && !/Failed to load resource|WebSocket connection/.test(m.text())) this.complaints.push(m.text());
    });
    page.on('dialog', (dialog) => {
      this.complaints.push(`a dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
  }

  async logIn(token: string, to = '/runs'): Promise<Page> {
    await this.page.goto(to);
    await this.page.getByLabel('Admin token').fill(token);
    await this.page.getByRole('button', { name: 'Log in' }).click();
    await this.page.getByRole('button', { name: 'Log out' }).waitFor();
    return this.page;
  }
}
