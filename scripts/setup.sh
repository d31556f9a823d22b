#!/bin/sh
# Installs what the build needs from Debian: LLVM and MLIR 22 with the libraries they link, and a C compiler.
# Does nothing if it is all there. Works as root or through sudo.
set -eu
packages="llvm-22-dev libmlir-22-dev mlir-22-tools libclang-22-dev libpolly-22-dev libzstd-dev libz3-dev zlib1g-dev libxml2-dev gcc libc6-dev make pkg-config"
missing=""
for p in $packages; do
    dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $p"
done
if [ -n "$missing" ]; then
    sudo=""
    [ "$(id -u)" = 0 ] || sudo="sudo"
    echo "installing:$missing"
    $sudo apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi
# g++ is only needed to check that the headers are C++, valgrind to check memory: tests say so when they skip it.
command -v cargo >/dev/null || { echo "install Rust first: https://rustup.rs" >&2; exit 1; }
