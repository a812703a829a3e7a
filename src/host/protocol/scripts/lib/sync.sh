# `flush` writes files to the disk before a rename makes them count. Otherwise they might be empty after a power cut.

flush() { sync -f "$releases" "$base/config" 2>/dev/null || sync 2>/dev/null || say "unsynced"; }
