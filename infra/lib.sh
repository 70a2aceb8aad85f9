# What the scripts of this folder share; sourced by bash with `set -euo pipefail`, in the root of the checkout.

say() { printf '%s\n' "$*" >&2; }
fail() { say "percloud: $*"; exit 1; }

# The data folder where none is given: a place that the system's users may reach when we are root.
default_data() {
    if [ "$(id -u)" = 0 ]; then echo /var/lib/percloud; else echo "${XDG_DATA_HOME:-$HOME/.local/share}/percloud"; fi
}

# with_data ARGS…: fills `data` with the option for the default folder, unless ARGS name one. `--database-url` is another option.
with_data() {
    local arg
    data=(--data "$(default_data)")
    for arg in "$@"; do
        case $arg in --data | --data=*) data=() ;; esac
    done
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null; then sudo "$@"
    else fail "this needs root, and there is no sudo: $*"; fi
}

# install_packages PACKAGE:FILE …: installs each Debian package whose file (or command) is not there yet.
install_packages() {
    local missing=() item
    for item in "$@"; do
        if [ ! -e "${item#*:}" ] && ! command -v "${item#*:}" >/dev/null; then missing+=("${item%%:*}"); fi
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null || fail "please install: ${missing[*]} (this script knows Debian only)"
    say "Installing ${missing[*]}…"
    # Debian would start a Postgres of its own on installation; ours is private.
    if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
        as_root mkdir -p /etc/postgresql-common
        echo 'create_main_cluster = false' | as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# without_services COMMAND…: what is installed meanwhile is not started; the peers of a bench must not take the ports of this machine.
without_services() {
    local policy=/usr/sbin/policy-rc.d
    if [ -e $policy ]; then "$@"; return; fi
    printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
    as_root chmod 755 $policy
    local outcome=0
    "$@" || outcome=$?
    as_root rm -f $policy
    return $outcome
}

install_for_build() {
    install_packages gcc:cc libc6-dev:/usr/include/stdio.h make:make ca-certificates:/etc/ssl/certs/ca-certificates.crt
    [ -x "$HOME/.cargo/bin/cargo" ] && PATH=$HOME/.cargo/bin:$PATH
    command -v cargo >/dev/null || fail "Rust is missing. Install the stable toolchain with rustup (version $(rust_version) or newer), open a new shell, and run this again."
    local have; have=$(rustc --version | cut -d' ' -f2)
    [ "$(printf '%s\n' "$(rust_version)" "$have" | sort -V | head -1)" = "$(rust_version)" ] ||
        fail "Rust $have is too old; $(rust_version) or newer is needed: rustup update stable"
}

rust_version() { sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml; }

# The tenants' program is one static file: its sandbox then needs no library inside. A static program cannot ask the loader for
# getrandom(2), and there is no /dev/urandom in the sandbox to fall back on, so it is told that the call is there (Linux 3.17).
# Its code stands at a fixed address: docs/decisions/0019-waking.md says what that saves, and what it costs.
# What both programs are made of is built in the first step, once (`infra/features`).
build_release() {
    release build --package control-plane --package tenant-runtime --lib --bin percloud
    release rustc --package tenant-runtime --bin percloud-runtime -- -C target-feature=+crt-static -C relocation-model=static
}

build_loadtests() { release build --package loadtests; }

release() {
    local command=$1; shift
    cargo "$command" --config 'build.rustflags=["--cfg", "getrandom_backend=\"linux_getrandom\""]' --release --locked --quiet "$@"
}
