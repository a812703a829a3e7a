import * as os from "node:os"

/** `user@machine`; a user without an entry in the password file is named by number. */
export const operatorName = (): string => `${userName()}@${os.hostname()}`

const userName = () => {
  try {
    return os.userInfo().username
  } catch {
    return `uid ${process.getuid?.() ?? "unknown"}`
  }
}
