# Removes folders that were set aside, because this login may not remove files in them. Standard input is the target's
# command for that: every user of the host could read it on a command line. The names of the folders follow. Prints the
# folders that are still there.

command=$(cat)
. ./lib/protocol.sh
. ./lib/environment.sh
. ./lib/files.sh
. ./lib/aside.sh
. ./lib/releases.sh
shift
for folder; do
  case "$folder" in .stuck_*) is_trash_name ".trash_${folder#.stuck_}" && real_dir "$folder" || continue ;; *) continue ;; esac
  # The shell reads the command from standard input here too.
  mounted_in "$folder" >/dev/null || say "$command \"\$1\"" | sh -s "$PWD/$folder" >/dev/null 2>&1
  [ ! -e "$folder" ] || say "left $(kibibytes "$folder") $folder"
done
finish
