/** Terminals for tests, with tmux. */
import { execFileSync } from "node:child_process"
import { join } from "node:path"
import * as Effect from "effect/Effect"

// A test runner without a terminal forbids colours.
const { FORCE_COLOR: _, NO_COLOR: __, ...inherited } = process.env

/** A terminal of 100 columns and 30 rows with a shell in it. */
export const terminal = (folder: string, env: Readonly<Record<string, string>>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const tmux = (...args: ReadonlyArray<string>) =>
        execFileSync("tmux", ["-S", join(folder, "tmux"), "-f", "/dev/null", ...args], {
          encoding: "utf8",
          env: { ...inherited, ...env, TERM: "xterm-256color", PS1: "local> ", ENV: "" }
        })
      tmux("new-session", "-d", "-x", "100", "-y", "30", "-c", folder, "sh")
      // Wrapped lines are joined again; that keeps the blanks at their ends.
      const lines = (...more: ReadonlyArray<string>) => tmux("capture-pane", "-p", "-J", ...more).replace(/ +$/gm, "")
      const screen = () => lines()
      return {
        /** Everything on the screen, and everything that has left it at the top. */
        shown: () => lines("-S", "-"),
        /** All bytes that it gets from now on, colours and all, go into this file as well. */
        record: (file: string) => Effect.sync(() => tmux("pipe-pane", `cat > ${file}`)),
        type: (line: string) => Effect.sync(() => tmux("send-keys", line, "Enter")),
        /** Pastes a text as a whole. */
        paste: (text: string) =>
          Effect.sync(() => {
            tmux("set-buffer", "--", text)
            tmux("paste-buffer")
          }),
        press: (key: string) => Effect.sync(() => tmux("send-keys", key)),
        resize: (columns: number, rows: number) =>
          Effect.sync(() => tmux("resize-window", "-x", String(columns), "-y", String(rows))),
        /** Waits until the text is on the screen. A minute is for machines that stall; nothing waits for it otherwise. */
        waitFor: (text: string | RegExp) =>
          Effect.repeat(Effect.delay(Effect.sync(screen), 50), {
            until: (shown) => (typeof text === "string" ? shown.includes(text) : text.test(shown))
          }).pipe(
            Effect.timeoutFail({
              duration: "1 minute",
              // @effect-diagnostics-next-line globalErrorInEffectFailure:off
              onTimeout: () => new Error(`"${text}" did not appear on the terminal:\n${screen()}`)
            })
          ),
        end: () => tmux("kill-server")
      }
    }),
    ({ end }) => Effect.sync(end)
  )
