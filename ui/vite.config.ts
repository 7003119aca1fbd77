import { defineConfig } from 'vite';

export default defineConfig({
  root: import.meta.dirname,
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    outDir: '../dist/ui',
    emptyOutDir: true,
    target: 'es2022',
    sourcemap: true,
    // The page's policy allows nothing inline.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  // `vite ui` beside `thresh up`: the page is built as it is edited, the farm answers.
  server: { proxy: { '^/(api|login$|logout$)': { target: 'http://127.0.0.1:8787', ws: true } } },
});
