/** Every step, every crash, on GNU hosts: current is whole whatever happens, and the next deploy succeeds. */
import { everyCrash, gnu } from "../kit/crashes.ts"

everyCrash(gnu)
