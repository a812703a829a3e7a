/** Every step, every crash, on BusyBox hosts: current is whole whatever happens, and the next deploy succeeds. */
import { busyboxUserland, everyCrash } from "../kit/crashes.ts"

everyCrash(busyboxUserland)
