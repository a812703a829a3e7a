import { quote } from "../Transport.ts"

/** The line that has a login shell replace itself with `sh`, which runs a script with arguments. */
export const commandLine = (script: string, args: ReadonlyArray<string>): string =>
  ["exec", "sh", "-c", quote(script), "deployer", ...args.map(quote)].join(" ")
