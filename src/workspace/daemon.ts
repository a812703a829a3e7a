/**
 * Start, stop and restart of a plain process, for hosts without a service manager.
 */

/** A process to keep running. */
export interface DaemonOptions {
  /**
   * The command that runs the application in the foreground, for `sh`, in the release's folder: `PORT=4000 node server.js`. At the end of a list
   * of commands, write `exec` before the application, because only one process is stopped.
   */
  readonly command: string
  /** How many seconds it may take to end before it is killed. Default: 10. */
  readonly stopSeconds?: number
}

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`

/** The line for `sh -c`, in which the shell gives its place to a single program. In a list of commands it cannot. */
export const shellLine = (command: string): string => {
  const words = command.replaceAll(/'[^']*'|"(?:[^"\\$`]|\\.)*"/g, "quoted")
  if (/[;&|<>()`{}\n]/.test(words)) return command
  if (/^\w+=/.test(words)) return `exec env ${command}`
  return /^[\w./~-]+(\s|$)/.test(words) ? `exec ${command}` : command
}

/** The command that a text of `daemon` keeps running. Undefined if it is another text. */
export const daemonCommand = (text: string): string | undefined =>
  /^: daemon '((?:[^']|'\\'')*)'; /.exec(text)?.[1]?.replaceAll("'\\''", "'")

const logLines = 20

/** Shell functions for the log: `size` is its bytes, and `since` is the end of what was written after that many bytes, without control characters. */
const logFunctions = [
  `log="$DEPLOYER_PATH/$DEPLOYER_NAME.log"`,
  `size() { [ ! -f "$log" ] && echo 0 || wc -c <"$log"; }`,
  // A log that is shorter than before was emptied.
  `since() { [ "$(size)" -ge "$1" ] && set -- $(($1 + 1)) || set -- 1; tail -c "+$1" "$log" | tail -n ${logLines} | tail -c 4000 | LC_ALL=C tr -d "\\000-\\010\\013-\\037\\177"; }`
]

/** Prints the end of the text that the running process has written to its log since its start. Ends with status 1 if that is nothing. */
export const daemonLog = [
  ...logFunctions,
  `{ read -r pid token from <"$DEPLOYER_PATH/$DEPLOYER_NAME.pid"; } 2>/dev/null && since "\${from:-0}" | grep "" || exit 1`
].join("; ")

/**
 * Commands for a target that keep a process running: `...daemon({ command: "node server.js" })`. Its pid and its log are in the target's folder, as
 * `<name>.pid` and `<name>.log`. If the host has `/proc`, a pid that now belongs to another process is recognized. `start` fails if the process ends within
 * a second. Nothing starts it again after a crash or a reboot: a service manager does.
 */
export const daemon = ({
  command,
  stopSeconds = 10
}: DaemonOptions): { readonly start: string; readonly stop: string; readonly restart: string } => {
  const functions = [
    `pid_file="$DEPLOYER_PATH/$DEPLOYER_NAME.pid" pid= token= from=`,
    ...logFunctions,
    // The time of its start; a name in parentheses comes before it.
    `born() { sed "s/.*) //" "/proc/$1/stat" 2>/dev/null | cut -d " " -f 20; }`,
    `runs() { read -r pid token from <"$pid_file" && kill -0 "$pid" && { [ "\${token:--}" = - ] || [ "$token" = "$(born "$pid")" ]; }; } 2>/dev/null`,
    `pause() { sleep 0.1 2>/dev/null || { sleep 1; tries=$((tries - 9)); }; }`,
    `stop() { if runs; then kill "$pid"; tries=${Math.ceil(stopSeconds * 10)}; while [ "$tries" -gt 0 ] && runs; do pause; tries=$((tries - 1)); done; if runs; then kill -9 "$pid"; fi; fi; rm -f "$pid_file"; }`,
    `start() { if runs; then return; fi; from=$(($(size))); nohup sh -c ${quoted(shellLine(command))} >>"$log" 2>&1 </dev/null & pid=$! token=$(born "$pid"); echo "$pid \${token:--} $from" >"$pid_file"; sleep 1; runs || { echo "it ended at once; what it wrote to $log:"; since "$from"; rm -f "$pid_file"; exit 1; } >&2; }`
  ].join("; ")
  // The first words name the script, for programs that show only the beginning.
  const label = `daemon ${quoted(command)}`
  return {
    start: `: ${label}; ${functions}; start`,
    stop: `: stop ${label}; ${functions}; stop`,
    restart: `: ${label}; ${functions}; stop; start`
  }
}
