#!/usr/bin/env bash
# What the tests need beside Go and Node: `deps.sh check` says what is missing,
# `deps.sh install` installs it.
set -euo pipefail
cd "$(dirname "$0")/.."

# command : Debian package
packages=(
  chromium:chromium
  php:php-cli
  nginx:nginx-light
  haproxy:haproxy
  python3:python3
  gcc:gcc # the race detector is linked with it
)

missing() {
  local entry
  for entry in "${packages[@]}"; do
    PATH="$PATH:/usr/sbin" command -v "${entry%%:*}" >/dev/null || echo "${entry##*:}"
  done
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
npm_folders=(client-js tests/openrpc tests/socketio tests/websocket)

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
  for folder in "${npm_folders[@]}"; do
    modules_current "$folder" || { echo "deps: $folder/node_modules is missing or old" >&2; return 1; }
  done
}

install() {
  local tool need folder
  for tool in go node npm git; do
    command -v "$tool" >/dev/null || { echo "deps: install $tool first, see README.md" >&2; exit 1; }
  done
  mapfile -t need < <(missing)
  if [ "${#need[@]}" -gt 0 ]; then
    command -v apt-get >/dev/null ||
      { echo "deps: no apt-get here; install by hand: ${need[*]}" >&2; exit 1; }
    as_root apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends \
      -o DPkg::Lock::Timeout=120 "${need[@]}" fonts-dejavu-core
  fi
  for folder in "${npm_folders[@]}"; do
    modules_current "$folder" || npm --prefix "$folder" ci --no-audit --no-fund
  done
  check
}

case "${1:-}" in
  check) check ;;
  install) install ;;
  *) echo "usage: $0 check|install" >&2; exit 2 ;;
esac
