# `enter_release` enters the folder `$2` in the release's folder `$1`, and sets the environment for a user's command.

enter_release() {
  cd "$1" || fail "$releases/$1 cannot be entered"
  DEPLOYER_RELEASE=$(pwd)
  [ -d "$2" ] || fail "$DEPLOYER_RELEASE holds no folder $2: its name is another one"
  cd "$2" || fail "$DEPLOYER_RELEASE/$2 cannot be entered"
  DEPLOYER_REF=${1#deployer_}
  [ "$1" = current ] && DEPLOYER_REF=
  DEPLOYER_NAME=$2 DEPLOYER_PATH=$base
  export DEPLOYER_NAME DEPLOYER_REF DEPLOYER_PATH DEPLOYER_RELEASE
  umask "$mask"
  if [ -n "$locale" ]; then LC_ALL=$locale; else unset LC_ALL; fi
}
