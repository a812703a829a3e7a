/**
 * Reads facts from a Dockerfile without building it.
 */
import type { Dockerfile, Instruction } from "dockerfile-ast"
import type { UnknownException } from "effect/Cause"
import * as Effect from "effect/Effect"
import { nodeRequire } from "../internal/nodeRequire.ts"

/** The parts of a Dockerfile that deployer uses. */
export interface DockerfileFacts {
  /** The names of its build arguments. Undefined if `# syntax=` names a program that is not Docker's own. */
  readonly declared: ReadonlySet<string> | undefined
  /** The working directory of the image, absolute. Undefined if it is not set, or depends on a variable. */
  readonly workdir: string | undefined
  /** The commands that run in the last stage, each on one line. */
  readonly lastStage: ReadonlyArray<string>
  /** The absolute destination of the last file or folder that comes from another stage. */
  readonly copiedTo: string | undefined
  /** The program that the image runs, as a list of words. Undefined if it is not set, or if it is a line for a shell. */
  readonly program: ReadonlyArray<string> | undefined
  /** The first port that the last stage exposes. */
  readonly port: number | undefined
}

const load = Effect.try((): typeof import("dockerfile-ast") => nodeRequire("dockerfile-ast"))

/** Reads the text of a Dockerfile. Reports no mistakes in it, because the engine does. */
export const parseDockerfile = (text: string): Effect.Effect<DockerfileFacts, UnknownException> =>
  Effect.flatMap(load, ({ DockerfileParser }) =>
    Effect.try(() => {
      const dockerfile = DockerfileParser.parse(text.replace(/^\uFEFF/, ""))
      const stages = stagesOf(dockerfile)
      const last = stages.at(-1)
      return {
        declared: hasOwnSyntax(text) ? undefined : new Set(dockerfile.getARGs().flatMap(namesOf)),
        workdir: last === undefined ? undefined : workdirOf(stages, last),
        lastStage: linesOf(last, "RUN"),
        copiedTo: copiedTo(dockerfile),
        program: programOf(last),
        port: portOf(last)
      }
    })
  )

/** Whether `# syntax=` names an image that is not Docker's own. Such an image may read the file in its own way. */
const hasOwnSyntax = (text: string): boolean =>
  /^#\s*syntax\s*=(?!\s*(docker\.io\/)?docker\/dockerfile[:@\s])/im.test(text.split(/^\s*[^#\s]/m)[0] ?? "")

/** The names in an `ARG`. It may name several arguments, of which `getProperties` has only the first if that one has no value. */
const namesOf = (arg: ReturnType<Dockerfile["getARGs"]>[number]): ReadonlyArray<string> => [
  ...arg.getProperties().map((property) => property.getName()),
  ...words(arg).flatMap((word) => /^(\w+)(?==|$)/.exec(word)?.[1] ?? [])
]

interface Stage {
  readonly from: string
  readonly name: string | undefined
  readonly instructions: ReadonlyArray<Instruction>
}

const words = (instruction: Instruction): ReadonlyArray<string> =>
  instruction.getArguments().map((argument) => argument.getValue())

const stagesOf = (dockerfile: Dockerfile): ReadonlyArray<Stage> => {
  const stages: Array<Stage & { readonly instructions: Array<Instruction> }> = []
  for (const instruction of dockerfile.getInstructions()) {
    if (instruction.getKeyword() === "FROM") {
      const [from = "", as, name] = words(instruction)
      stages.push({ from, name: as?.toUpperCase() === "AS" ? name : undefined, instructions: [] })
    } else stages.at(-1)?.instructions.push(instruction)
  }
  return stages
}

const instructions = (stage: Stage | undefined, keyword: string): ReadonlyArray<Instruction> =>
  (stage?.instructions ?? []).filter((instruction) => instruction.getKeyword() === keyword)

const linesOf = (stage: Stage | undefined, keyword: string): ReadonlyArray<string> =>
  instructions(stage, keyword).map((instruction) => words(instruction).join(" "))

/** A stage begins in the working directory of the stage that it comes from. */
const workdirOf = (stages: ReadonlyArray<Stage>, stage: Stage): string | undefined => {
  const before = stages.slice(0, stages.indexOf(stage)).find(({ name }) => name === stage.from)
  return linesOf(stage, "WORKDIR").reduce<string | undefined>(
    (above, path) => {
      const plain = path.replace(/^(["'])(.*)\1$/, "$2")
      if (plain.includes("$")) return undefined
      return withoutEnd(plain.startsWith("/") ? plain : above === undefined ? undefined : `${above}/${plain}`)
    },
    before === undefined ? undefined : workdirOf(stages, before)
  )
}

const withoutEnd = (path: string | undefined): string | undefined =>
  path?.replace(/(?<=.)\/+$/, "").replace(/^\/+/, "/")

const copiedTo = (dockerfile: Dockerfile): string | undefined => {
  const lastStage = dockerfile.getFROMs().at(-1)?.getRange()?.start.line ?? 0
  const copies = dockerfile.getCOPYs().flatMap((copy) => {
    const to = words(copy).at(-1) ?? ""
    const isInLast = (copy.getRange()?.start.line ?? 0) > lastStage
    return isInLast && copy.getFromFlag() !== null && to.startsWith("/") && !/[$"\]]/.test(to) ? [to] : []
  })
  return withoutEnd(copies.at(-1))
}

/** The program in the form with brackets. The other form is a line for a shell, which may do anything. */
const programOf = (stage: Stage | undefined): ReadonlyArray<string> | undefined => {
  const listed = (keyword: string) => {
    const line = instructions(stage, keyword).at(-1)?.getRawArgumentsContent() ?? ""
    return line.startsWith("[") ? [...line.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, word = ""]) => word) : []
  }
  const program = [...listed("ENTRYPOINT"), ...listed("CMD")]
  return program.length === 0 ? undefined : program
}

const portOf = (stage: Stage | undefined): number | undefined => {
  const [, port] = /^(\d{1,5})(?:\/tcp)?\b/.exec(linesOf(stage, "EXPOSE")[0] ?? "") ?? []
  return port === undefined ? undefined : Number(port)
}
