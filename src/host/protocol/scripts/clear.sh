# Removes folders that were set aside because this login may not remove files in them. The target's command for this
# comes from standard input, because every user of the host could read it on a command line. The names of the folders
# are the last arguments. Prints the folders that still exist.

command=$(cat)
. ./lib/protocol.sh
. ./lib/environment.sh
. ./lib/files.sh
. ./lib/aside.sh
. ./lib/releases.sh
shift
for folder; do
  case "$folder" in .stuck_*) is_trash_name ".trash_${folder#.stuck_}" && real_dir "$folder" || continue ;; *) continue ;; esac
  # The shell of the command also reads it from standard input.
  mounted_in "$folder" >/dev/null || say "$command \"\$1\"" | sh -s "$PWD/$folder" >/dev/null 2>&1
  [ ! -e "$folder" ] || say "left $(kibibytes "$folder") $folder"
done
finish
