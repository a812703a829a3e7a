/**
 * The files that tell a host how to make a release from others that are there: edits of a manifest, moves of files, and patches. Each form of
 * line has its inverse beside it. The scripts in lib/assemble.sh process the lines, and the host in memory reads them with the inverses.
 */
import type { Move } from "../../domain/Differences.ts"

/** The edits that turn the old lines into the wanted ones: `=2 40` keeps the old lines 2 to 40, counted from 1; `+…` is a new line. */
export const editsBetween = (old: ReadonlyArray<string>, wanted: ReadonlyArray<string>): ReadonlyArray<string> => {
  const places = new Map(old.map((line, index) => [line, index]))
  const edits: Array<string> = []
  let run: { readonly begin: number; end: number } | undefined
  const close = () => {
    if (run !== undefined) edits.push(`=${run.begin + 1} ${run.end}`)
    run = undefined
  }
  for (const line of wanted) {
    if (run !== undefined && old[run.end] === line) {
      run.end += 1
      continue
    }
    close()
    const place = places.get(line)
    if (place === undefined) edits.push(`+${line}`)
    else run = { begin: place, end: place + 1 }
  }
  close()
  return edits
}

/** The wanted lines again, from the old lines and the edits. */
export const edited = (old: ReadonlyArray<string>, edits: ReadonlyArray<string>): ReadonlyArray<string> =>
  edits.flatMap((edit) => {
    const [, begin, end] = /^=([0-9]+) ([0-9]+)$/.exec(edit) ?? []
    return begin === undefined ? [edit.slice(1)] : old.slice(Number(begin) - 1, Number(end))
  })

const nameOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1)

const sourceOf = ({ from, ref }: Move): string => `${ref === undefined ? "tree" : `deployer_${ref}`}/${from}`

/**
 * The lines of moves: `into FOLDER` and `take SOURCE` keep the name of a file, `copy SOURCE` and `as PATH` change it, and `copy`, `own`, `mode`
 * and `of` change its mode. A source in `tree/` is in the folder in which the release is being made.
 */
export const moveLines = (moves: ReadonlyArray<Move>): ReadonlyArray<string> => {
  const lines: Array<string> = []
  let into: string | undefined
  for (const move of moves) {
    const { from, mode, to } = move
    const source = sourceOf(move)
    const name = nameOf(to)
    const folder = `./${to.slice(0, to.length - name.length)}`
    if (mode !== undefined) lines.push(`copy ${source}`, `own ./${to}`, `mode ${mode.toString(8)}`, `of ./${to}`)
    else if (nameOf(from) === name) {
      if (into !== folder) lines.push(`into ${folder}`)
      into = folder
      lines.push(`take ${source}`)
    } else lines.push(`copy ${source}`, `as ./${to}`)
  }
  return lines
}

/** A line without its first word, and that word. */
const split = (line: string): readonly [word: string, rest: string] => {
  const blank = line.indexOf(" ")
  return blank < 0 ? [line, ""] : [line.slice(0, blank), line.slice(blank + 1)]
}

/** The moves of these lines. */
export const movesOf = (lines: ReadonlyArray<string>): ReadonlyArray<Move> => {
  const moves: Array<Move> = []
  let into = ""
  let source = ""
  let mode = 0
  const add = (to: string, source: string, mode: number | undefined) => {
    const [, ref, from = ""] = /^(?:tree|deployer_([0-9A-F]{32}))\/(.*)$/s.exec(source) ?? []
    moves.push({ ref, from, to: to.replace(/^\.\//, ""), mode })
  }
  for (const line of lines) {
    const [word, rest] = split(line)
    if (word === "into") into = rest
    else if (word === "take") add(`${into}${nameOf(rest)}`, rest, undefined)
    else if (word === "copy") source = rest
    else if (word === "as") add(rest, source, undefined)
    else if (word === "mode") mode = Number.parseInt(rest, 8)
    else if (word === "of") add(rest, source, mode)
  }
  return moves
}

/** One line of a patch. The lines after `To` append to that file. */
export type PatchStep =
  /** The old file, by its path below `releases/`. */
  | { readonly _tag: "Base"; readonly from: string }
  /** The size of its blocks, in bytes. */
  | { readonly _tag: "Block"; readonly size: number }
  /** The path of the new file in the release. */
  | { readonly _tag: "To"; readonly path: string }
  /** `count` blocks of the old file from block `first` on. Without `count`: all to its end. */
  | { readonly _tag: "Keep"; readonly first: number; readonly count: number | undefined }
  /** A piece that was sent, by its number. */
  | { readonly _tag: "Add"; readonly piece: number }
  | { readonly _tag: "Mode"; readonly mode: number }
  /** The new file gets the time of this piece. */
  | { readonly _tag: "Time"; readonly piece: number }

/** A step as a line: `base …`, `block 2048`, `to ./…`, `keep 4 2`, `rest 7`, `add 1`, `mode 755`, `time 3`. */
export const patchLine = (step: PatchStep): string => {
  switch (step._tag) {
    case "Base":
      return `base ${step.from}`
    case "Block":
      return `block ${step.size}`
    case "To":
      return `to ./${step.path}`
    case "Keep":
      return step.count === undefined ? `rest ${step.first}` : `keep ${step.first} ${step.count}`
    case "Add":
      return `add ${step.piece}`
    case "Mode":
      return `mode ${step.mode.toString(8)}`
    case "Time":
      return `time ${step.piece}`
  }
}

/** The step of a line. Undefined if the line is not a step. */
export const patchStepOf = (line: string): PatchStep | undefined => {
  const [word, rest] = split(line)
  const [first = 0, count] = rest.split(" ").map(Number)
  switch (word) {
    case "base":
      return { _tag: "Base", from: rest }
    case "block":
      return { _tag: "Block", size: first }
    case "to":
      return { _tag: "To", path: rest.replace(/^\.\//, "") }
    case "keep":
      return { _tag: "Keep", first, count }
    case "rest":
      return { _tag: "Keep", first, count: undefined }
    case "add":
      return { _tag: "Add", piece: first }
    case "mode":
      return { _tag: "Mode", mode: Number.parseInt(rest, 8) }
    case "time":
      return { _tag: "Time", piece: first }
    default:
      return undefined
  }
}

/** The path of a piece in the archive. */
export const pieceOf = (number: number): string => `.deployer_pieces/${number}`
