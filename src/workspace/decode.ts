/**
 * Decodes the export of a config file, and reports every mistake on its own line.
 */
import * as Arr from "effect/Array"
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Predicate from "effect/Predicate"
import * as AST from "effect/SchemaAST"
import { Health, localHost, placeOf, TargetSettings, Timeouts } from "../domain/Target.ts"
import { suggest } from "../internal/suggest.ts"
import { ConfigSchema, type DeployerConfig, GroupSettings } from "./Config.ts"
import { matching } from "./Fleet.ts"

type Path = ReadonlyArray<PropertyKey>

const inWords = (path: Path): string =>
  path.reduce<string>((text, key) => {
    if (typeof key === "number") return `${text}[${key}]`
    const word = String(key)
    if (!/^[\p{L}\p{N}_$-]+$/u.test(word)) return `${text}[${JSON.stringify(word)}]`
    return text === "" ? word : `${text}.${word}`
  }, "")

const shown = (value: unknown): string => {
  if (typeof value === "string") return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value)
  if (Array.isArray(value)) return "a list"
  if (typeof value === "function") return "a function"
  return Predicate.isObject(value) ? "an object" : String(value)
}

/** A type of the schema, such as `ReadonlyArray<string>`, in words that a user knows. */
const kindOf = (ast: AST.AST): string => {
  switch (ast._tag) {
    case "StringKeyword":
      return "a string"
    case "NumberKeyword":
      return "a number"
    case "BooleanKeyword":
      return "true or false"
    case "TupleType":
      return "a list"
    case "TypeLiteral":
      return "an object"
    case "Refinement":
      return kindOf(ast.from)
    case "Transformation":
      return kindOf(ast.from)
    case "Union":
      return [...new Set(ast.types.filter((type) => !AST.isUndefinedKeyword(type)).map(kindOf))].join(" or ")
    default:
      return String(ast)
  }
}

const known = (path: Path): ReadonlyArray<string> => {
  if (path.length === 0) return Object.keys(ConfigSchema.fields)
  if (path.length === 2 && path[0] === "groups") return Object.keys(GroupSettings.fields)
  if (path.length === 2 && path[0] === "targets") return Object.keys(TargetSettings.fields)
  if (path.length === 3 && path[0] === "targets" && path[2] === "timeouts") return Object.keys(Timeouts.fields)
  if (path.length === 3 && path[0] === "targets" && path[2] === "health") return Object.keys(Health.from.fields)
  return []
}

interface Mistake {
  readonly path: Path
  readonly text: string
  /** Whether the value has the right type. If so, the user meant this one of several alternatives. */
  readonly near: boolean
}

const annotated = (issue: ParseResult.ParseIssue, ast: AST.Annotated): string | undefined => {
  const annotation = AST.getMessageAnnotation(ast)
  if (annotation._tag === "None") return undefined
  const message = annotation.value(issue)
  return typeof message === "string" ? message : undefined
}

const described = (ast: AST.Annotated): string | undefined => {
  const annotation = AST.getDescriptionAnnotation(ast)
  return annotation._tag === "None" ? undefined : `must be ${annotation.value}`
}

const unexpected = (path: Path): string => {
  const key = String(path.at(-1))
  const parent = path.slice(0, -1)
  const keys = known(parent)
  if (keys.length === 0)
    return "is not a usable key: use letters, digits, '.', '_' and '-', and do not begin with '.' or '-'"
  const meant = suggest(key, keys)
  return meant === undefined
    ? `is not a known key (known: ${keys.join(", ")})`
    : `is not a known key (did you mean "${meant}"?)`
}

const one = (path: Path, text: string, near: boolean): ReadonlyArray<Mistake> => [{ path, text, near }]

const mistakesOf = (issue: ParseResult.ParseIssue, path: Path): ReadonlyArray<Mistake> => {
  switch (issue._tag) {
    case "Pointer":
      return mistakesOf(issue.issue, [...path, ...Arr.ensure(issue.path)])
    case "Missing":
      return one(path, "is missing", false)
    case "Unexpected":
      return one(path, unexpected(path), false)
    case "Forbidden":
      return one(path, "cannot be decoded", false)
    case "Composite": {
      const inner = Arr.ensure(issue.issues).map((each) => mistakesOf(each, path))
      if (!AST.isUnion(issue.ast)) return inner.flat()
      const meant = inner.filter((mistakes) => mistakes.some((each) => each.near || each.path.length > path.length))
      return meant[0] ?? one(path, `must be ${kindOf(issue.ast)}, found ${shown(issue.actual)}`, false)
    }
    case "Transformation":
      return mistakesOf(issue.issue, path)
    case "Refinement": {
      if (issue.kind === "From") return mistakesOf(issue.issue, path)
      const inner = issue.issue
      const text =
        annotated(issue, issue.ast) ?? (inner._tag === "Type" ? inner.message : undefined) ?? described(issue.ast)
      return text === undefined ? mistakesOf(inner, path) : one(path, `${text}, found ${shown(issue.actual)}`, true)
    }
    case "Type": {
      const text = issue.message ?? annotated(issue, issue.ast)
      return text === undefined
        ? one(path, `must be ${kindOf(issue.ast)}, found ${shown(issue.actual)}`, false)
        : one(path, `${text}, found ${shown(issue.actual)}`, true)
    }
  }
}

const entriesOf = (input: object, key: string): ReadonlyArray<readonly [string, unknown]> => {
  const record = Predicate.hasProperty(input, key) ? input[key] : undefined
  return Predicate.isRecord(record) ? Object.entries(record) : []
}

/** The members of a group, as the config names them. */
const namesOf = (group: unknown): ReadonlyArray<unknown> => {
  const names = Predicate.hasProperty(group, "targets") ? group.targets : group
  return Array.isArray(names) ? names : []
}

/** Mistakes between different parts of the config. */
const crossMistakes = (input: object): ReadonlyArray<string> => {
  const targets = entriesOf(input, "targets").map(([key]) => key)
  const groups = entriesOf(input, "groups").flatMap(([group, settings]) =>
    namesOf(settings)
      .filter((name): name is string => typeof name === "string" && matching(targets, name).length === 0)
      .map((name) => {
        if (name.includes("*")) return `${inWords(["groups", group])}: no target fits ${JSON.stringify(name)}`
        const meant = suggest(name, targets)
        const question = meant === undefined ? "" : ` (did you mean "${meant}"?)`
        return `${inWords(["groups", group])}: names the target ${JSON.stringify(name)}, which does not exist${question}`
      })
  )
  const builders = entriesOf(input, "builders").flatMap(([builder, value]) => {
    const mistakes = Predicate.isFunction(value) && Predicate.hasProperty(value, "mistakes") ? value.mistakes : []
    return Array.isArray(mistakes) ? mistakes.map((line) => `${inWords(["builders", builder])}.${String(line)}`) : []
  })
  const keys = entriesOf(input, "targets")
    .filter(
      ([, target]) =>
        Predicate.isRecord(target) && target["sshKey"] !== undefined && target["sshKeyVariable"] !== undefined
    )
    .map(([target]) => `${inWords(["targets", target])}: sets sshKey and sshKeyVariable: remove one of them`)
  return [...groups, ...keys, ...builders]
}

const decode = ParseResult.decodeUnknownEither(ConfigSchema, { errors: "all", onExcessProperty: "error" })

/** The config, or every mistake in it, one line each: `targets.prod.host: is missing`. Accepts any input and never throws. */
export const decodeConfig = (input: unknown): Either.Either<DeployerConfig, ReadonlyArray<string>> =>
  Either.flatMap(
    Either.try({
      try: () => decodeParts(input),
      // A property may be a getter, which can throw.
      catch: (cause) => [`cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`]
    }),
    (decoded) => decoded
  )

const decodeParts = (input: unknown): Either.Either<DeployerConfig, ReadonlyArray<string>> => {
  if (!Predicate.isRecord(input)) {
    return Either.left([`must export an object with targets, groups and builders, found ${shown(input)}`])
  }
  const decoded = decode(input)
  const mistakes = [
    ...(Either.isLeft(decoded)
      ? mistakesOf(decoded.left, []).map(({ path, text }) => (path.length === 0 ? text : `${inWords(path)}: ${text}`))
      : []),
    ...crossMistakes(input)
  ]
  if (Either.isLeft(decoded) || mistakes.length > 0) return Either.left([...new Set(mistakes)])
  const wrong = [...sharedPaths(decoded.right), ...usersOfThisMachine(decoded.right)]
  return wrong.length > 0 ? Either.left(wrong) : Either.right(decoded.right)
}

/** The targets on this machine that set `user`. Nobody logs in to this machine, so `user` would have no effect. */
const usersOfThisMachine = ({ targets }: DeployerConfig): ReadonlyArray<string> =>
  Object.entries(targets).flatMap(([key, { host, user }]) =>
    host === localHost && user !== undefined
      ? [
          `${inWords(["targets", key, "user"])}: has no effect with host "${localHost}", which is this machine: remove it`
        ]
      : []
  )

/** The targets with the same host and path. Each would take the other's releases for its own, so both have to set `sharesPath`. */
const sharedPaths = ({ targets }: DeployerConfig): ReadonlyArray<string> => {
  const owners = new Map<string, { readonly key: string; readonly sharesPath: boolean }>()
  return Object.entries(targets).flatMap(([key, target]) => {
    const { sharesPath } = target
    const place = placeOf(target)
    const owner = owners.get(place)
    if (owner === undefined) owners.set(place, { key, sharesPath })
    return owner === undefined || (owner.sharesPath && sharesPath)
      ? []
      : [
          `${inWords(["targets", key, "path"])}: is the path of target ${JSON.stringify(owner.key)} on the same host: give each target its own path, or set "sharesPath: true" in both`
        ]
  })
}
