/**
 * Events on a terminal, with one moving line at the bottom, and as plain lines anywhere else.
 */
import { type Work, workName } from "../domain/Work.ts"
import { visibleOutput } from "../internal/visible.ts"
import type { Event } from "./Event.ts"
import { bytes, duration } from "./format.ts"
import { truncate } from "./Table.ts"
import { advanced, amountsText, lastLine, percent, progressLine, type Transfer } from "./transfers.ts"

/** The output of the terminal's reporter. */
export interface Sink {
  readonly write: (text: string | Uint8Array) => void
  /** For output that is a result. */
  readonly writeResult: (chunk: Uint8Array) => void
  readonly isTTY: boolean
  /** Whether a terminal shows the results. Default: no. */
  readonly isResultTTY?: boolean
  readonly color: boolean
  /** Read at each drawing, because terminals change their size. */
  readonly columns: () => number
  /** Whether details are shown. Default: no. */
  readonly verbose?: boolean
  /** The service that shows the output, if it folds parts of it. */
  readonly ci?: "github" | "gitlab" | undefined
}

/** The time between two looks at the moving line, in milliseconds. */
export const tickMillis = 100

const redrawMillis = 100
const plainLineMillis = 2_000
const plainLineAtLeastMillis = 10_000
/** Steps that are quicker than this show no moving line. */
const briefMillis = 300
const frames = ["-", "\\", "|", "/"] as const

/** A step in progress. */
interface Running {
  readonly step: Work
  readonly began: number
  readonly count: string
}

/** The spinner at this time. */
const frameAt = (now: number): string => frames[Math.floor(now / tickMillis) % frames.length] ?? ""

const elapsedText = (began: number, now: number): string => {
  const seconds = Math.floor((now - began) / 1000)
  return seconds < 60 ? `${seconds} s` : duration(seconds * 1000)
}

const stepLine = ({ began, count, step }: Running, now: number, columns: number): string => {
  return truncate(`${frameAt(now)} ${workName(step)}${count}  ${elapsedText(began, now)}`, columns)
}

/** The present step of one of many targets. */
interface MemberStep {
  readonly step: Work
  readonly began: number
  /** The share of the upload that is done, in words. Empty if there is none. */
  readonly share: string
}

/** The steps of many targets in one line: `- 12 s  web1 upload 45 %, web2 health`. */
const membersLine = (members: ReadonlyMap<string, MemberStep>, now: number, columns: number): string => {
  const began = Math.min(...[...members.values()].map(({ began }) => began))
  const steps = [...members].map(([target, { share, step }]) => `${target} ${workName(step)}${share}`)
  return truncate(`${frameAt(now)} ${elapsedText(began, now)}  ${steps.join(", ")}`, columns)
}

/** The steps of the members after an event of one of them. */
const trackMember = (members: Map<string, MemberStep>, event: Event, now: number): void => {
  const { target } = event
  if (target === undefined) return
  if (event._tag === "StepStarted") members.set(target, { step: event.step, began: now, share: "" })
  if (event._tag === "StepEnded") members.delete(target)
  const before = members.get(target)
  if (event._tag === "Progress" && before !== undefined && event.total !== undefined) {
    members.set(target, { ...before, share: ` ${percent(event.done, event.total)} %` })
  }
}

/** Whether the output of a program may fill many lines during a step. */
const isLong = ({ _tag }: Work): boolean => _tag === "Build" || _tag === "Run"

/** The marks with which a CI service folds the lines of a step. See the services' own documentation. */
const foldMarks = {
  github: { open: (name: string) => `::group::${name}\n`, close: () => "::endgroup::\n" },
  gitlab: {
    open: (name: string, now: number) =>
      `\u001b[0Ksection_start:${Math.floor(now / 1000)}:deployer_${name}[collapsed=true]\r\u001b[0K${name}\n`,
    close: (name: string, now: number) => `\u001b[0Ksection_end:${Math.floor(now / 1000)}:deployer_${name}\r\u001b[0K\n`
  }
} as const

/** A text as the value of a workflow command of GitHub. */
const workflowText = (text: string): string =>
  text.replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A")

/** Writes lines, a program's output, and one moving line below them that the next writing replaces. */
const makePen = (sink: Sink) => {
  const outputToShow = visibleOutput()
  const resultToShow = visibleOutput()
  let isMoving = false
  // Whether a program's output has left the cursor in the middle of a line.
  let isOpen = false

  const clear = () => {
    if (isMoving) sink.write("\r\u001b[K")
    isMoving = false
  }
  const write = (text: string) => {
    clear()
    sink.write(`${isOpen ? "\n" : ""}${text}`)
    isOpen = false
  }
  // GitHub shows the time of each line itself.
  const stamp = (now: number): string =>
    sink.isTTY || sink.ci === "github" ? "" : `${new Date(now).toISOString().slice(0, 19)}Z `
  const line = (text: string, now: number) => write(`${stamp(now)}${text}\n`)

  return {
    clear,
    line,
    isOpen: () => isOpen,
    warning: (message: string, now: number) => {
      if (!sink.isTTY && sink.ci === "github") return write(`::warning::${workflowText(message)}\n`)
      line(`${sink.color ? "\u001b[33mwarning:\u001b[39m" : "warning:"} ${message}`, now)
    },
    fold: (edge: "open" | "close", step: Work, now: number) => {
      if (sink.ci !== undefined && !sink.isTTY && isLong(step)) write(foldMarks[sink.ci][edge](workName(step), now))
    },
    move: (text: string) => {
      write(text)
      isMoving = true
    },
    output: (chunk: Uint8Array, isResult: boolean) => {
      clear()
      if (isResult) sink.writeResult(sink.isResultTTY === true ? Buffer.from(resultToShow(chunk)) : chunk)
      else sink.write(sink.isTTY ? outputToShow(chunk) : chunk)
      isOpen = chunk.at(-1) !== 10
    }
  }
}

/** Whole lines, each after a name. */
const labelled = (name: string, lines: Uint8Array): Uint8Array =>
  Buffer.from(
    Buffer.from(lines)
      .toString("latin1")
      .split("\n")
      .map((line, index, all) => (index === all.length - 1 ? line : Buffer.from(name).toString("latin1") + line))
      .join("\n"),
    "latin1"
  )

/**
 * An event of one of many targets, whose work would tear the lines apart: warnings and whole lines of output stay, and notes are details.
 * Undefined for others.
 */
const ofMember = (event: Event): Event | undefined => {
  const name = event.target === undefined ? "" : `${event.target}: `
  switch (event._tag) {
    case "Warning":
      return { ...event, message: `${name}${event.message}` }
    case "Note":
    case "Detail":
      return { ...event, _tag: "Detail", message: `${name}${event.message}` }
    case "Output":
      return event.isWhole === true ? { ...event, chunk: labelled(name, event.chunk) } : undefined
    case "Asked":
    case "Answered":
      return event
    default:
      return undefined
  }
}

/** Draws events. `tick` moves the line at the bottom. Times are milliseconds since 1970. */
export const draw = (sink: Sink) => {
  const pen = makePen(sink)
  const transfers = new Map<string, Transfer>()
  const running: Array<Running> = []
  const members = new Map<string, MemberStep>()
  // The terminal belongs to the open question, and the events wait. Undefined if there is none.
  let waiting: Array<readonly [event: Event, isData: boolean]> | undefined

  const bottomLine = (now: number): string | undefined => {
    const columns = sink.columns() - 1
    if (members.size > 0) return membersLine(members, now, columns)
    const transfer = [...transfers].at(-1)
    if (transfer !== undefined) return progressLine(...transfer, now, columns)
    const step = running.at(-1)
    return step === undefined || now - step.began < briefMillis ? undefined : stepLine(step, now, columns)
  }
  const redraw = (now: number, endsLine = false) => {
    if (!sink.isTTY || waiting !== undefined || (pen.isOpen() && !endsLine)) return
    const text = bottomLine(now)
    if (text === undefined) pen.clear()
    else pen.move(text)
  }

  const progress = (event: Extract<Event, { readonly _tag: "Progress" }>, now: number) => {
    const { done, label, total } = event
    const before = transfers.get(label)
    const transfer = advanced(before, { ...event, now })
    const [drawnAt, drawnBytes] = transfer.drawn
    const waited = now - drawnAt
    const isDue = sink.isTTY
      ? waited >= redrawMillis
      : waited >= plainLineAtLeastMillis ||
        (waited >= plainLineMillis && total !== undefined && percent(done, total) - percent(drawnBytes, total) >= 10)
    // The transfer that moved last is the one to show.
    transfers.delete(label)
    transfers.set(label, isDue ? { ...transfer, drawn: [now, done] } : transfer)
    if (sink.isTTY && (isDue || before === undefined)) return redraw(now, true)
    if (before === undefined) return pen.line(`${label}${total === undefined ? "" : ` (${bytes(total)})`}`, now)
    const share = total === undefined ? "" : `${percent(done, total)} %, `
    if (isDue) pen.line(`${label}: ${share}${amountsText(transfer, now)}`, now)
  }

  const end = ({ label, ok }: Extract<Event, { readonly _tag: "ProgressEnd" }>, now: number) => {
    const transfer = transfers.get(label)
    transfers.delete(label)
    if (transfer !== undefined) pen.line(lastLine(label, transfer, now, ok), now)
    redraw(now)
  }

  const show = (event: Event, now: number, isData: boolean) => {
    switch (event._tag) {
      case "StepStarted": {
        const count = event.number === undefined ? "" : ` (${event.number} of ${event.of})`
        running.push({ step: event.step, began: now, count })
        return pen.fold("open", event.step, now)
      }
      case "StepEnded": {
        const index = running.findLastIndex(({ step }) => step === event.step)
        if (index !== -1) running.splice(index, 1)
        pen.fold("close", event.step, now)
        return redraw(now)
      }
      case "Note":
        pen.line(event.message, now)
        return redraw(now)
      case "Warning":
        pen.warning(event.message, now)
        return redraw(now)
      case "Detail":
        if (sink.verbose !== true) return
        pen.line(sink.color ? `\u001b[2m${event.message}\u001b[22m` : event.message, now)
        return redraw(now)
      case "Output":
        if (event.chunk.length === 0) return
        // A JSON document may contain this output too, but stdout is reserved for the document.
        pen.output(event.chunk, event.isResult && !isData)
        return redraw(now)
      case "Progress":
        return progress(event, now)
      case "ProgressEnd":
        return end(event, now)
      case "Asked":
        if (!sink.isTTY) return
        pen.clear()
        waiting = []
        return
      case "Answered":
      case "Reported":
        return
    }
  }

  /** Shows an event, or keeps it until the open question is answered. */
  const hear = (given: Event, now: number, isData: boolean) => {
    if (given.isMember === true) trackMember(members, given, now)
    const event = given.isMember === true ? ofMember(given) : given
    if (event === undefined) return members.size === 0 ? redraw(now) : undefined
    if (waiting === undefined || !sink.isTTY) return show(event, now, isData)
    if (event._tag !== "Answered") return void waiting.push([event, isData])
    const kept = waiting
    waiting = undefined
    for (const [event, isData] of kept) show(event, now, isData)
  }

  // A transfer moves its line with its bytes.
  const tick = (now: number): void => {
    if (transfers.size === 0 && (running.length > 0 || members.size > 0)) redraw(now)
  }

  return { show: hear, tick }
}
