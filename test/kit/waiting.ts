/**
 * Login shells that look at the commands of the SSH transport: one that waits for another command becomes that one here, once it
 * has come.
 */
import { ready, waitingLine } from "../../src/host/transport/ssh/waitingShells.ts"
import { quote } from "../../src/host/transport/Transport.ts"

/** The beginning of such a shell: after it, `$2` is a command with something to do. */
export const waitForCommand = `waiting=${quote(waitingLine)} text= nl="
"
if [ "$2" = "$waiting" ]; then
  echo ${quote(ready)}
  while :; do
    IFS= read -r line || exit 0
    [ "$line" = "deployer go" ] && break
    text=$text$line$nl
  done
  set -- -c "\${text%"$nl"}"
fi`
