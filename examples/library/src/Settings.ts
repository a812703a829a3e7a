/** The settings, from the environment. */
import { Config, Effect } from "effect"

export class Settings extends Effect.Service<Settings>()("Settings", {
  effect: Config.all({
    /** The key of the signatures. */
    secret: Config.redacted("WEBHOOK_SECRET"),
    /** The root of the project to deploy: the folder that holds `deployer/config`. */
    project: Config.nonEmptyString("PROJECT")
  })
}) {}
