import { useEffect, useState } from 'preact/hooks';
import type { LoginRequest, Session } from '../protocol/session.ts';
import { messageOf, post } from './api.ts';
import { Title } from './parts.tsx';
import { path } from './router.ts';
import { session } from './session.ts';

export function LoginPage() {
  const [token, setToken] = useState('');
  const [problem, setProblem] = useState('');
  const [busy, setBusy] = useState(false);

  const logIn = async (request: LoginRequest) => {
    setBusy(true);
    setProblem('');
    try {
      session.value = await post<Session>('/login', request);
    } catch (error) {
      setProblem(messageOf(error));
      setBusy(false);
    }
  };
  useEffect(() => {
    const code = window.location.hash.slice(1);
    if (path.value[0] !== 'login' || code === '') return;
    // It works once; nobody who looks at the address later should wonder.
    window.history.replaceState(null, '', window.location.pathname);
    void logIn({ code });
  }, []);

  return (
    <main class="login">
      <svg viewBox="0 0 32 32" width="44" height="44" aria-hidden="true">
        <rect width="32" height="32" rx="7" fill="var(--brand)" />
        <path d="M8 9h16M16 9v15M10.5 14.5h11M12 19.5h8" stroke="#fff" stroke-width="2.6" stroke-linecap="round" />
      </svg>
      <Title tab="Log in">Log in to Thresh</Title>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void logIn({ token: token.trim() });
        }}
      >
        <label class="field">
          <span>Admin token</span>
          <input
            type="password"
            autocomplete="current-password"
            value={token}
            required
            maxLength={4096}
            onInput={(e) => setToken(e.currentTarget.value)}
          />
        </label>
        {problem && (
          <p class="problem" role="alert">
            {problem}
          </p>
        )}
        <button type="submit" class="primary" disabled={busy}>
          {busy ? 'Logging in…' : 'Log in'}
        </button>
      </form>
      <p class="quiet">
        The token is in the file <code>admin.token</code> of the farm’s data directory. Or run <code>thresh login</code> and open
        the link that it prints.
      </p>
    </main>
  );
}
