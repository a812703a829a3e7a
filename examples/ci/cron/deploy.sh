#!/bin/sh
# Builds and deploys each new commit of the branch that is checked out here. Commit it to the root of the project, and call it in a clone from cron:
#   */5 * * * * /home/ci/my_app/deploy.sh >>/home/ci/deploy.log 2>&1
# cron has a short PATH: set it in the crontab, so that node, docker and deployer are found.
set -eu
cd "$(dirname "$0")"

# One at a time: a run that is not finished yet goes on, and this one ends.
mkdir -p deployer/temp
exec 9>deployer/temp/deploy.lock
flock --nonblock 9 || exit 0

git pull --quiet --ff-only
commit=$(git rev-parse HEAD)
done=deployer/temp/deploy.commit
[ "$(cat "$done" 2>/dev/null || true)" != "$commit" ] || exit 0

echo "$(date -u +%FT%TZ) deploying $commit"
status=0
deployer build_and_deploy target=prod wait=15m json >deployer/temp/deployment.json || status=$?
jq -r '.message // "\(.deployed.plan.release.name) \(.deployed.plan.release.ref[:8]) is live"' deployer/temp/deployment.json

# After 5 and 6 the release itself is bad, and the next one has to be better. After any other failure the next run tries again.
case $status in
  0 | 5 | 6) echo "$commit" >"$done" ;;
esac
exit "$status"
