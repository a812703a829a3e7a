import { userInfo } from "node:os"
import { isAbsolute } from "node:path"
import process from "node:process"

/** The user's home folder, absolute. A user without one gets a path at which there is nothing. */
export const homeFolder = (): string => {
  const { HOME = "" } = process.env
  // An empty variable counts as one that is not set.
  if (isAbsolute(HOME)) return HOME
  try {
    return userInfo().homedir
  } catch {
    // A number without an entry in the password file.
    return "/nonexistent"
  }
}
