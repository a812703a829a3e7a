/**
 * For login shells that look at the commands of the SSH transport. The transport starts a shell that waits for a command. This replaces the waiting
 * shell with that command, once it has arrived.
 */
import { ready, waitingLine } from "../../src/host/transport/ssh/waitingShells.ts"
import { quote } from "../../src/host/transport/Transport.ts"

/** The first lines of such a login shell. After them, `$2` is the real command. */
export const waitForCommand = `waiting=${quote(waitingLine)}
if [ "$2" = "$waiting" ]; then
  echo ${quote(ready)} $$
  read -r line || exit 0
  set -- -c "$(printf %s "$line" | LC_ALL=C tr "\\1" "\\n")"
fi`
