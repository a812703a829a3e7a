/**
 * The config: targets, groups and builders, as the user writes them and as the program sees them.
 */
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type { Builder } from "../build/Builder.ts"
import { defaultPolicy, policyFields } from "../domain/Rollout.ts"
import { type Target, TargetSettings } from "../domain/Target.ts"
import { knownWords } from "../internal/suggest.ts"

const BuilderFunction = Schema.declare((input: unknown): input is Builder => typeof input === "function", {
  identifier: "Builder",
  message: () => "must be a builder: docker({ … }), command({ … }) or a function from the build context to an Effect"
})

/** A key of the config; it is typed on command lines. */
const Key = Schema.String.pipe(
  Schema.pattern(/^[A-Za-z0-9_][A-Za-z0-9._-]*$/, {
    message: () => "a key must consist of letters, digits, '.', '_' and '-'"
  })
)

/** Keys of targets, or patterns over them. */
const Members = Schema.Array(Schema.String)

/** A group of targets, and how to roll a release out to it. */
export const GroupSettings = Schema.Struct({
  /** Keys of targets, or patterns over them: `web*`. */
  targets: Members,
  ...policyFields
})

/** A list alone has the default policy. */
const Group = Schema.Union(
  Schema.transform(Members, Schema.typeSchema(GroupSettings), {
    decode: (targets) => ({ targets, ...defaultPolicy }),
    encode: ({ targets }) => targets
  }),
  GroupSettings
)

/** The whole config, decoded. */
export const ConfigSchema = Schema.Struct({
  targets: Schema.optionalWith(Schema.Record({ key: Key, value: TargetSettings }), { default: () => ({}) }),
  groups: Schema.optionalWith(Schema.Record({ key: Key, value: Group }), { default: () => ({}) }),
  builders: Schema.optionalWith(Schema.Record({ key: Key, value: BuilderFunction }), { default: () => ({}) })
})

/** The whole config, decoded. */
export type DeployerConfig = typeof ConfigSchema.Type

/** The export of a config file: this, or an Effect that returns it. */
export type ConfigInput = typeof ConfigSchema.Encoded

/** Types a config in the user's file; changes nothing. */
export const config = (input: ConfigInput): ConfigInput => input

const own = <A>(record: Readonly<Record<string, A>>, key: string): A | undefined =>
  Object.hasOwn(record, key) ? record[key] : undefined

/** No target has this key. */
export class UnknownTarget extends Schema.TaggedError<UnknownTarget>()("UnknownTarget", {
  key: Schema.String,
  /** The keys of the config's targets. */
  known: Schema.Array(Schema.String),
  /** The targets of the group, if the key names a group. */
  group: Schema.optional(Schema.Array(Schema.String))
}) {
  readonly exitStatus = 2
  override get message(): string {
    return this.group === undefined
      ? `No target named "${this.key}"${knownWords(this.key, this.known)}`
      : `"${this.key}" is a group, not a target: name one of its targets (${this.group.join(", ") || "it has none"})`
  }
}

/** A target has no builder, or the builder it names does not exist. */
export class UnknownBuilder extends Schema.TaggedError<UnknownBuilder>()("UnknownBuilder", {
  /** The target's key. */
  target: Schema.String,
  builder: Schema.String,
  /** Whether the target names the builder. Otherwise it is the builder with the target's key. */
  named: Schema.Boolean,
  /** The keys of the config's builders. */
  known: Schema.Array(Schema.String)
}) {
  readonly exitStatus = 2
  override get message(): string {
    const known = knownWords(this.builder, this.known)
    return this.named
      ? `Target "${this.target}" needs the builder "${this.builder}", which the config does not have${known}`
      : `Target "${this.target}" has no builder: add builders.${this.target} to the config, or set targets.${this.target}.builder${known}`
  }
}

/** The target with this key. */
export const findTarget = (config: DeployerConfig, key: string): Either.Either<Target, UnknownTarget> => {
  const settings = own(config.targets, key)
  if (settings !== undefined) return Either.right({ ...settings, key })
  const group = own(config.groups, key)
  return Either.left(
    new UnknownTarget({
      key,
      known: Object.keys(config.targets),
      ...(group === undefined ? {} : { group: group.targets })
    })
  )
}

/** The builder of a target: the one it names, or the one with the target's key. */
export const findBuilder = (
  config: DeployerConfig,
  target: Pick<Target, "key" | "builder">
): Either.Either<Builder, UnknownBuilder> => {
  const key = target.builder ?? target.key
  const builder = own(config.builders, key)
  return builder === undefined
    ? Either.left(
        new UnknownBuilder({
          target: target.key,
          builder: key,
          named: target.builder !== undefined,
          known: Object.keys(config.builders)
        })
      )
    : Either.right(builder)
}
