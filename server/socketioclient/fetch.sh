#!/usr/bin/env bash
# Fetches the browser files of socket.io-client into dist: `fetch.sh VERSION`. The
# tests compare them with the version that tests/socketio/package.json names, so
# change that, too.
set -euo pipefail
cd "$(dirname "$0")"

version=${1:?usage: $0 VERSION}
into=$(mktemp -d)
trap 'rm -rf "$into"' EXIT
npm --prefix "$into" install --ignore-scripts --no-audit --no-fund --silent "socket.io-client@$version"

from=$into/node_modules
for name in socket.io.js socket.io.min.js socket.io.esm.min.js; do
  cp "$from/socket.io-client/dist/$name" "dist/$name"
  chmod 644 "dist/$name"
done

# All that the files are made of.
for part in socket.io-client engine.io-client engine.io-parser socket.io-parser @socket.io/component-emitter debug ms; do
  printf '%s %s\n\n' "$part" "$(node -p "require('$from/$part/package.json').version")"
  cat "$from/$part"/[Ll][Ii][Cc][Ee][Nn][Ss][Ee]*
  printf '\n----\n\n'
done >dist/LICENSE
sed -i "s/^const Version = .*/const Version = \"$version\"/" embed.go
