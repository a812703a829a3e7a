/** `schema`: the documents of all commands. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Anything, Failure } from "../terminal/Failure.ts"
import { type Task, task } from "./Task.ts"

/** JSON Schema (2020-12) of the documents of all commands. */
export class DocumentSchema extends Schema.Class<DocumentSchema>("DocumentSchema")({
  $schema: Schema.String,
  title: Schema.String,
  /** One schema for each command, by its name (`manage info`), and one for each definition that they refer to. */
  $defs: Schema.Record({ key: Schema.String, value: Anything })
}) {}

/** The parts of a task that its schema needs. */
export type Listed = Pick<Task<never, never>, "document" | "name"> & { readonly tasks: ReadonlyArray<Listed> }

/** The tasks of a list and those below them, by their names on the command line. */
export const named = (tasks: ReadonlyArray<Listed>, above = ""): ReadonlyArray<readonly [name: string, task: Listed]> =>
  tasks.flatMap((task) => {
    const name = `${above}${task.name}`
    return [[name, task] as const, ...named(task.tasks, `${name} `)]
  })

/**
 * JSON Schema of everything that stdout may hold if `json` requests data: `$defs` has a schema for each command, either of its report or of
 * a `Failure`. A conversation has only the latter.
 */
export const schemaOf = (tasks: ReadonlyArray<Listed>): Effect.Effect<DocumentSchema> =>
  Effect.map(
    // Only this command needs it, so it is not loaded at every start.
    Effect.promise(() => import("effect/JSONSchema")),
    (JSONSchema) => {
      const documents: Record<string, Schema.Schema.All> = {}
      for (const [name, { document }] of named(tasks))
        documents[name] = document === undefined ? Failure : Schema.Union(document, Failure)
      const all = JSONSchema.make(Schema.Struct(documents), { target: "jsonSchema2020-12" })
      return DocumentSchema.make({
        $schema: "https://json-schema.org/draft/2020-12/schema",
        title: "What deployer writes to standard output with json, by command",
        $defs: { ...all.$defs, ...("properties" in all ? all.properties : {}) }
      })
    }
  )

/** The command, for the list that contains it. */
export const schemaTask = (tasks: () => ReadonlyArray<Listed>) =>
  task("schema", {
    group: "look",
    description: "Shows the JSON Schema of the documents that json writes.",
    examples: ["deployer schema", "deployer schema > deployer.schema.json"],
    options: {},
    report: { schema: DocumentSchema, view: (schema) => () => JSON.stringify(schema, null, 2) },
    run: () => schemaOf(tasks())
  })
