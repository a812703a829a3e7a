/** The page of the failures and their exit statuses, from the classes of the errors. */
import { cell, tagged } from "./sources.ts"

/** The text of the page. */
export const failuresPage = (): string => {
  const failures = tagged.filter(({ exitStatus }) => exitStatus !== undefined)
  return [
    "# Failures",
    "",
    "Written by `npm run reference` from the classes of the errors. `error._tag` of a `Failure` document, and `_tag` in the library, is the name here.",
    "[Exit status](../exit-status.md) explains the numbers.",
    "",
    "| failure | exit status | |",
    "|---|---|---|",
    ...failures.map(
      ({ doc, exitStatus = "", name }) =>
        `| \`${name}\` | ${/^\d+$/.test(exitStatus) ? exitStatus : "that of the command or of the targets"} | ${cell(doc)} |`
    ),
    ""
  ].join("\n")
}
