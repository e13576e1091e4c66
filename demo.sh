#!/usr/bin/env bash
# The original demo: two headless nodes and a shell, then the same again after the workers expired.
set -euo pipefail
cd "$(dirname "$0")"

tmp=$(mktemp -d)
pids=()
clean_up() {
  trap - EXIT INT TERM HUP
  if ((${#pids[@]})); then
    kill "${pids[@]}" 2>/dev/null || true
    wait "${pids[@]}" 2>/dev/null || true
  fi
  rm -rf "$tmp"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# run PROGRAM… in the background, so that a signal to this script is served at once, and wait for it.
run() {
  "$@" <"$input" &
  pids+=($!)
  wait $!
}

input=/dev/null
run env CGO_ENABLED=0 go build -o "$tmp/distproc" ./cmd/distproc

# A cookie and a home of its own: the demo touches no file of the user's.
for variable in "${!DISTPROC_@}"; do unset "$variable"; done
export DISTPROC_COOKIE HOME="$tmp/home" XDG_CONFIG_HOME="$tmp/home" XDG_STATE_HOME="$tmp/home"
mkdir "$tmp/home"
DISTPROC_COOKIE=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')

for node in 2@127.0.0.1 3@127.0.0.1; do
  : >"$tmp/$node.log"
  "$tmp/distproc" node --name $node --log-level debug 2>"$tmp/$node.log" </dev/null &
  pids+=($!)
  until grep -q 'msg=listening' "$tmp/$node.log"; do
    if ! kill -0 $! 2>/dev/null; then
      echo "demo.sh: $node did not start:" >&2
      cat "$tmp/$node.log" >&2
      exit 1
    fi
    sleep 0.05
  done
  echo "\$ distproc node --name $node &"
done

cat >"$tmp/lines" <<'LINES'
connect()
request(1)
request(2)
request(3)
request(4)   # another id than 1, same node
request(1)   # cached
request(2)
request(3)
sleep(5.2)   # workers live for 5 s
request(1)   # a new value
request(0)
request(-1)
request("a") # a string is an id, too
nodes()
LINES
echo "\$ distproc repl --name 1@127.0.0.1"
input=$tmp/lines
run "$tmp/distproc" repl --name 1@127.0.0.1 --echo

for node in 2@127.0.0.1 3@127.0.0.1; do
  echo
  echo "What $node logged:"
  sed -n 's/.*msg="\(Request made for\|Cached value returned\)\(.*\)" id=\(.*\)/  \1\2  (id \3)/p' "$tmp/$node.log"
done
