/** The crashes of GNU hosts, and for scripts/matrix.sh those of hosts with the userlands of other Debian releases. */
import { everyCrash, gnu, otherUserlands } from "../kit/crashes.ts"

if (process.env["MATRIX"] === "1") for (const userland of otherUserlands) everyCrash(userland)
else everyCrash(gnu)
