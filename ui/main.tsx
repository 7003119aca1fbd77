import { render } from 'preact';
import { App } from './app.tsx';
import { startClock } from './clock.ts';
import { followLinks } from './router.ts';
import './style.css';

const page = document.getElementById('page');
if (page) {
  followLinks();
  startClock();
  render(<App />, page);
}
