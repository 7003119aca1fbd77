import { signal } from '@preact/signals';
import { useEffect, useRef, useState } from 'preact/hooks';
import { messageOf } from './api.ts';

type Question = {
  title: string;
  text: string;
  confirm: string;
  danger?: boolean;
  /** Label of a field for a reason. */
  reason?: string;
  /** Label of a box to tick. */
  option?: string;
  act: (answer: { reason: string; option: boolean }) => Promise<unknown>;
};

const asked = signal<Question | undefined>(undefined);

/** Asks before something is done that others will notice. */
export const ask = (question: Question): void => {
  asked.value = question;
};

/** One sentence about what was done; it goes by itself. */
const said = signal('');
let timer: ReturnType<typeof setTimeout> | undefined;
export const say = (text: string): void => {
  said.value = text;
  clearTimeout(timer);
  timer = setTimeout(() => {
    said.value = '';
  }, 6_000);
};

export const Said = () => (
  <div class="said" role="status">
    {said.value && <p>{said.value}</p>}
  </div>
);

export function Dialog() {
  const question = asked.value;
  return question ? <Ask key={question.title} {...question} /> : null;
}

function Ask({ title, text, confirm, danger, reason, option, act }: Question) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [why, setWhy] = useState('');
  const [ticked, setTicked] = useState(false);
  const [problem, setProblem] = useState('');
  const [busy, setBusy] = useState(false);
  const close = () => {
    asked.value = undefined;
  };
  useEffect(() => dialog.current?.showModal(), []);
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    try {
      await act({ reason: why.trim(), option: ticked });
      close();
    } catch (error) {
      setProblem(messageOf(error));
      setBusy(false);
    }
  };
  return (
    <dialog ref={dialog} onClose={close} aria-labelledby="dialog-title">
      <form onSubmit={submit}>
        <h2 id="dialog-title">{title}</h2>
        <p>{text}</p>
        {reason && (
          <label class="field">
            <span>{reason}</span>
            <input value={why} onInput={(e) => setWhy(e.currentTarget.value)} maxLength={1024} />
          </label>
        )}
        {option && (
          <label class="tick">
            <input type="checkbox" checked={ticked} onChange={(e) => setTicked(e.currentTarget.checked)} />
            <span>{option}</span>
          </label>
        )}
        {problem && (
          <p class="problem" role="alert">
            {problem}
          </p>
        )}
        <div class="buttons">
          <button type="button" onClick={() => dialog.current?.close()}>
            Leave it
          </button>
          <button type="submit" class={danger ? 'danger' : 'primary'} disabled={busy}>
            {confirm}
          </button>
        </div>
      </form>
    </dialog>
  );
}
