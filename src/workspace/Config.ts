/**
 * The config: targets, groups and builders, as the user writes them and as the program sees them.
 */
import * as Schema from "effect/Schema"
import type { Builder } from "../build/Builder.ts"
import { TargetSettings } from "../domain/Target.ts"

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

/** The whole config, decoded. */
export const ConfigSchema = Schema.Struct({
  targets: Schema.optionalWith(Schema.Record({ key: Key, value: TargetSettings }), { default: () => ({}) }),
  groups: Schema.optionalWith(Schema.Record({ key: Key, value: Schema.Array(Schema.String) }), { default: () => ({}) }),
  builders: Schema.optionalWith(Schema.Record({ key: Key, value: BuilderFunction }), { default: () => ({}) })
})

/** The whole config, decoded. */
export type DeployerConfig = typeof ConfigSchema.Type

/** What a config file exports: this, or an Effect that yields it. */
export type ConfigInput = typeof ConfigSchema.Encoded

/** Types a config in the user's file; changes nothing. */
export const config = (input: ConfigInput): ConfigInput => input
