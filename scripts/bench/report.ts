/**
 * The output of the benchmark, and its facts about the machine.
 */
import { spawnSync } from "node:child_process"
import * as os from "node:os"
import { table } from "../../src/terminal/Table.ts"
import { figure, median, type Row, ratioOf, verdict } from "./Row.ts"

/** The result of a line. */
export interface Measurement {
  readonly key: string
  readonly seconds: number
  readonly rows: ReadonlyArray<Row>
  /** The reason why it could not be measured. */
  readonly failure?: string
}

const said = (program: string, ...args: ReadonlyArray<string>): string | undefined => {
  const { status, stderr, stdout } = spawnSync(program, args, { encoding: "utf8", timeout: 20_000 })
  return status === 0 ? `${stdout}${stderr}`.trim().split("\n")[0] : undefined
}

/** The place and tools of the measurement; `null` is a tool that is not installed. */
export const machine = () => ({
  date: new Date().toISOString(),
  commit: said("git", "rev-parse", "HEAD") ?? null,
  dirty: said("git", "status", "--porcelain") !== "",
  system: `${os.type()} ${os.release()} ${os.arch()}`,
  processor: os.cpus()[0]?.model ?? null,
  cores: os.availableParallelism(),
  memory: os.totalmem(),
  load: os.loadavg(),
  node: process.version,
  openssh: said("ssh", "-V") ?? null,
  rsync: said("rsync", "--version") ?? null,
  capistrano: said("cap", "--version") ?? null,
  ansible: said("ansible", "--version") ?? null,
  docker: said("docker", "version", "--format", "{{.Server.Version}}") ?? null,
  pigz: said("pigz", "--version") ?? null
})

export type Machine = ReturnType<typeof machine>

const amount = (value: number, unit: string): string => (Number.isNaN(value) ? "" : `${figure(value)} ${unit}`.trim())

/** The rows as a table. */
export const text = (measurements: ReadonlyArray<Measurement>, columns: number | undefined): string =>
  table({
    head: ["Line", "deployer", "beside it", "ratio", "target", "verdict", "note"],
    rows: measurements
      .flatMap(({ rows }) => rows)
      .map((row) => [
        row.line,
        amount(median(row.ours), row.unit),
        row.theirs === undefined ? "" : amount(median(row.theirs), row.unit),
        row.theirs === undefined ? "" : figure(ratioOf(row) ?? Number.NaN),
        row.target,
        verdict(row),
        row.note ?? ""
      ]),
    columns,
    elastic: 6
  })

/** Everything, for machines. */
export const document = (options: {
  readonly machine: Machine
  readonly quick: boolean
  readonly seconds: number
  readonly measurements: ReadonlyArray<Measurement>
}) => ({
  ...options.machine,
  loadAfter: os.loadavg(),
  quick: options.quick,
  seconds: options.seconds,
  lines: options.measurements.map(({ rows, ...line }) => ({
    ...line,
    rows: rows.map((row) => ({
      ...row,
      median: median(row.ours),
      ...(row.theirs === undefined ? {} : { medianTheirs: median(row.theirs), ratio: ratioOf(row) }),
      verdict: verdict(row)
    }))
  }))
})
