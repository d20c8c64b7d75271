#!/usr/bin/env bash
# What the tests need beside Go and Node: `deps.sh check` says what is missing,
# `deps.sh install` installs it. With `bench` behind it, it is what make bench
# needs, and with `peers` what make bench-peers does.
set -euo pipefail
cd "$(dirname "$0")/.."

# command : Debian package
packages=(
  chromium:chromium
  php:php-cli
  nginx:nginx-light
  haproxy:haproxy
  python3:python3
  redis-server:redis-server
  redis-sentinel:redis-sentinel
  gcc:gcc # the race detector is linked with it
)

packages_of_bench=(strace:strace)
packages_of_peers=(nginx:nginx-light)

absent() { # command:package...
  local entry
  for entry; do
    PATH="$PATH:/usr/sbin" command -v "${entry%%:*}" >/dev/null || echo "${entry##*:}"
  done
}

missing() {
  case "$set" in
    bench)
      absent "${packages_of_bench[@]}"
      return
      ;;
    peers)
      absent "${packages_of_peers[@]}"
      [ -e /usr/share/nginx/modules/ngx_nchan_module.so ] || echo libnginx-mod-nchan
      return
      ;;
  esac
  absent "${packages[@]}"
  if command -v gcc >/dev/null; then
    echo '#include <stdlib.h>' | gcc -E -o /dev/null - 2>/dev/null || echo libc6-dev
  else
    echo libc6-dev
  fi
  php -r 'exit(extension_loaded("curl") ? 0 : 1);' 2>/dev/null || echo php-curl
  # Of Debian's own Python: another one in the PATH does not see it.
  /usr/bin/python3 -c 'import websockets' 2>/dev/null || echo python3-websockets
  /usr/bin/python3 -c 'import zmq' 2>/dev/null || echo python3-zmq
}

# Folders with modules of npm.
npm_folders() {
  case "$set" in
    bench) ;;
    peers) echo bench/peers ;;
    *) echo client-js tests/openrpc tests/socketio tests/websocket ;;
  esac
}

modules_current() { # FOLDER
  [ -f "$1/node_modules/.package-lock.json" ] &&
    ! [ "$1/package-lock.json" -nt "$1/node_modules/.package-lock.json" ]
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif [ ! -t 0 ] && sudo -n true 2>/dev/null; then sudo -n "$@" # nobody is there to type a password
  elif [ -t 0 ] && command -v sudo >/dev/null; then sudo "$@"
  else
    echo "deps: root or sudo is needed for: $*" >&2
    exit 1
  fi
}

check() {
  local need
  need=$(missing)
  [ -z "$need" ] || { echo "deps: missing:" $need >&2; return 1; }
  local folder
  for folder in $(npm_folders); do
    modules_current "$folder" || { echo "deps: $folder/node_modules is missing or old" >&2; return 1; }
  done
}

install() {
  local tool need folder
  for tool in go node npm git; do
    command -v "$tool" >/dev/null || { echo "deps: install $tool first, see README.md" >&2; exit 1; }
  done
  local fonts=
  [ -n "$set" ] || fonts=fonts-dejavu-core # for Chromium
  mapfile -t need < <(missing)
  if [ "${#need[@]}" -gt 0 ]; then
    command -v apt-get >/dev/null ||
      { echo "deps: no apt-get here; install by hand: ${need[*]}" >&2; exit 1; }
    as_root apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends \
      -o DPkg::Lock::Timeout=120 "${need[@]}" $fonts
  fi
  for folder in $(npm_folders); do
    modules_current "$folder" || npm --prefix "$folder" ci --no-audit --no-fund
  done
  check
}

set=${2:-}
case "${1:-}/$set" in
  check/ | check/bench | check/peers) check ;;
  install/ | install/bench | install/peers) install ;;
  *) echo "usage: $0 check|install [bench|peers]" >&2; exit 2 ;;
esac
