/**
 * Login shells that look at the commands of the SSH transport: one that waits for another command becomes that one here, once it
 * has come.
 */
import { ready, waitingLine } from "../../src/host/transport/ssh/waitingShells.ts"
import { quote } from "../../src/host/transport/Transport.ts"

/** The beginning of such a shell: after it, `$2` is a command with something to do. */
export const waitForCommand = `waiting=${quote(waitingLine)}
if [ "$2" = "$waiting" ]; then
  echo ${quote(ready)} $$
  read -r line || exit 0
  set -- -c "$(printf %s "$line" | LC_ALL=C tr "\\1" "\\n")"
fi`
