/** The crashes of a GNU host that is reached through the system's `ssh`. */
import { everyCrash, openSsh } from "../kit/crashes.ts"

everyCrash(openSsh)
