# shellcheck shell=sh disable=SC2154 # The script that includes this one sets $work.
# Packages of other Debian releases, for scripts that set $work to a folder of their own.

# Downloads packages of a Debian release and all that they depend on, without a trace in this machine's own lists.
# unpack RELEASE NAME PACKAGE…: into FOLDER/NAME
unpack() {
  lists=$work/lists-$1 at=$work/$2
  if [ ! -d "$lists" ]; then
    mkdir -p "$lists/preferences.d" "$lists/lists/partial" "$lists/cache/archives/partial"
    : > "$lists/status"
    keys=/usr/share/keyrings/debian-archive-keyring.gpg
    echo "deb [signed-by=$keys] http://deb.debian.org/debian $1 main" > "$lists/sources.list"
    apt "$lists" update
  fi
  mkdir -p "$at/packages/partial" "$at/root" "$at/bin"
  shift 2
  apt "$lists" -o Dir::Cache::archives="$at/packages" --yes --download-only --no-install-recommends install "$@"
  for package in "$at"/packages/*.deb; do dpkg-deb -x "$package" "$at/root"; done
}
apt() {
  apt_lists=$1
  shift
  apt-get -qq -o Acquire::Retries=3 -o Dir::Etc="$apt_lists" -o Dir::Etc::sourcelist="$apt_lists/sources.list" \
    -o Dir::State="$apt_lists" -o Dir::State::status="$apt_lists/status" -o Dir::Cache="$apt_lists/cache" \
    -o APT::Sandbox::User=root "$@" >&2
}
