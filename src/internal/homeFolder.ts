import { userInfo } from "node:os"
import { isAbsolute } from "node:path"
import process from "node:process"

/** The user's home folder, absolute. For a user without one, a path that does not exist. */
export const homeFolder = (): string => {
  const { HOME = "" } = process.env
  // An empty variable counts as unset.
  if (isAbsolute(HOME)) return HOME
  try {
    return userInfo().homedir
  } catch {
    // The user is a number without an entry in the password file.
    return "/nonexistent"
  }
}
