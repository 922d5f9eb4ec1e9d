#!/bin/sh
# A Ray cluster of machines that share the project's folder, and `gotd run` on it:
#   deploy/ray/up.sh head                 on the first machine, which then says the address
#   deploy/ray/up.sh worker HEAD:6379     on every other one
#   gotd run                              on the first, with `compute: {engine: ray, address: auto}` in gotd.yaml
#   deploy/ray/up.sh down                 on every machine, in the end: it stops all of Ray there
# What follows is handed to `ray start`: --port=6380, --num-cpus=8, --num-gpus=2.
set -eu
export RAY_USAGE_STATS_ENABLED=0
what="${1:-}"
[ $# -eq 0 ] || shift
case "$what" in
  # No actor works beside the driver, whose machine must not run out of memory.
  head) exec ray start --head --num-cpus=0 --disable-usage-stats "$@" ;;
  worker) address="${1:?HEAD:6379}" && shift && exec ray start --address="$address" --disable-usage-stats "$@" ;;
  down) exec ray stop ;;
  *) sed -n '2,7s/^# \{0,1\}//p' "$0" && exit 2 ;;
esac
