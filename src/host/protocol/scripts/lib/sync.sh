# `flush` writes files to the disk before a rename makes them count: after a power cut they might be empty otherwise.

flush() { sync -f "$releases" "$base/config" 2>/dev/null || sync 2>/dev/null || say "unsynced"; }
