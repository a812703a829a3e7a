import { quote } from "../Transport.ts"

/** The line that makes a login shell replace itself with `sh`. That `sh` runs a script with arguments. */
export const commandLine = (script: string, args: ReadonlyArray<string>): string =>
  ["exec", "sh", "-c", quote(script), "deployer", ...args.map(quote)].join(" ")
