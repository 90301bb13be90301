#!/bin/sh
# Give this machine a container engine, if none answers. Called by `make engine`.
#
#   engine.sh            use the engine that answers, else install and start one
#   engine.sh --check    exit 0 if an engine answers, 1 if not; change nothing
#
# Where an engine answers (Docker Desktop, a distribution's Docker), nothing is installed and nothing
# is started. podman's Docker-compatible socket replays, but has no BuildKit to build with.
set -eu

runtime=/run/timeproof  # holds the daemon's pid and log where there is no systemd
say() { printf 'engine: %s\n' "$*"; }
die() { printf 'engine: %s\n' "$*" >&2; exit 1; }

answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }
has_buildx() { docker buildx version >/dev/null 2>&1; }
# Only Debian and Ubuntu make base root filesystems; elsewhere a base comes from outside.
has_base_maker() { command -v mmdebstrap >/dev/null 2>&1 || ! command -v apt-get >/dev/null 2>&1; }

if answers && has_buildx && has_base_maker; then
    say "an engine answers already ($(docker version --format '{{.Server.Version}}')); nothing to install"
    exit 0
fi
if [ "${1:-}" = --check ]; then
    answers && die "an engine answers, but 'docker buildx' is missing: run 'make engine'"
    die "no engine answers: run 'make engine'"
fi

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null 2>&1; then sudo "$@"
    else die "this step needs root, and there is no sudo: run 'make engine' as root"
    fi
}

elsewhere() {
    cat >&2 <<'TEXT'
engine: no container engine answers, and this script only knows how to install one
on Debian and Ubuntu. Please install Docker Engine 26 or newer with its buildx plugin
(or Docker Desktop) by the way your system documents, switch its containerd image store
on ({"features": {"containerd-snapshotter": true}} in /etc/docker/daemon.json), start it,
see that `docker version` and `docker buildx version` both answer, and run make again.
TEXT
    exit 1
}

answers || say "no engine answers on this machine"
for socket in /run/podman/podman.sock "${XDG_RUNTIME_DIR:-/run/user/$(id -u)}/podman/podman.sock"; do
    if [ -S "$socket" ]; then
        say "podman's socket is here: timeproof replays and verifies with it as it is. Building images needs"
        say "BuildKit, which podman has not, so Docker Engine goes beside it (podman stays untouched)"
    fi
done
[ -r /etc/os-release ] || elsewhere
# shellcheck disable=SC1091
. /etc/os-release
case " ${ID:-} ${ID_LIKE:-} " in *" debian "*|*" ubuntu "*) ;; *) elsewhere ;; esac
command -v apt-get >/dev/null 2>&1 || elsewhere

# Debian 12's own docker.io (20.10) has no buildx and no containerd image store, so the
# next release's four packages are taken, pinned low: nothing else moves to that release.
next_release_for() {
    case "$1" in bookworm) echo trixie ;; *) echo "" ;; esac
}

install_packages() {
    next=$(next_release_for "${VERSION_CODENAME:-}")
    packages="docker.io docker-cli docker-buildx containerd"
    if [ -z "$next" ]; then
        case "${ID:-}" in ubuntu) packages="docker.io docker-buildx containerd" ;; esac
    fi
    say "this will install, with apt: $packages iptables${next:+ (the first four from Debian $next, pinned low)}"
    as_root apt-get update -qq
    wanted=$packages
    if [ -n "$next" ]; then
        # The mirror is asked of this machine's own apt sources, never written down.
        mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' \
                 | awk -v r="$VERSION_CODENAME" '$2 == r {print $1; exit}')
        [ -n "$mirror" ] || die "the apt sources name no mirror for $VERSION_CODENAME"
        key=/usr/share/keyrings/debian-archive-keyring.gpg
        [ -r "$key" ] || as_root apt-get install -y -qq debian-archive-keyring >/dev/null
        printf 'deb [signed-by=%s] %s %s main\n' "$key" "$mirror" "$next" \
            | as_root tee /etc/apt/sources.list.d/timeproof-engine.list >/dev/null
        printf 'Package: *\nPin: release n=%s\nPin-Priority: 50\n' "$next" \
            | as_root tee /etc/apt/preferences.d/timeproof-engine >/dev/null
        as_root apt-get update -qq
        wanted=""
        for p in $packages; do wanted="$wanted $p/$next"; done
    fi
    # policy-rc.d keeps the package from starting a daemon with another configuration.
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get install -y -qq --no-install-recommends iptables $wanted >/tmp/timeproof-engine-apt.log 2>&1 \
        || { tail -n 20 /tmp/timeproof-engine-apt.log >&2; die "apt-get install failed"; }
}

configure() {
    [ -e /etc/docker/daemon.json ] && return 0
    as_root mkdir -p /etc/docker
    printf '{"features": {"containerd-snapshotter": true}}\n' | as_root tee /etc/docker/daemon.json >/dev/null
}

wait_for_answer() {  # seconds
    n=0
    while [ "$n" -lt "$1" ]; do
        if answers; then return 0; fi
        sleep 1; n=$((n + 1))
    done
    return 1
}

# Membership of the docker group counts from the next login on; until then the socket is handed over.
let_user_in() {
    [ "$(id -u)" = 0 ] && return 0
    as_root usermod -aG docker "$(id -un)" || true
    as_root chgrp "$(id -gn)" /var/run/docker.sock || true
}

start() {
    if [ -d /run/systemd/system ]; then
        as_root systemctl unmask docker.socket docker.service >/dev/null 2>&1 || true
        as_root systemctl restart docker.socket docker.service
        let_user_in
        wait_for_answer 60 && return 0
        die "systemd started docker, but it does not answer: see 'journalctl -u docker'"
    fi
    as_root mkdir -p "$runtime"
    # Containers get no network, so a kernel without NAT (many CI machines) is enough.
    for network in "" "--iptables=false --ip6tables=false --bridge=none"; do
        say "starting dockerd ${network:+with $network }(log: $runtime/dockerd.log)"
        as_root sh -c "setsid dockerd $network --group $(id -gn) --pidfile $runtime/dockerd.pid >$runtime/dockerd.log 2>&1 </dev/null &"
        wait_for_answer 30 && return 0
        if [ -s "$runtime/dockerd.pid" ]; then as_root kill "$(cat "$runtime/dockerd.pid")" 2>/dev/null || true; sleep 2; fi
    done
    as_root tail -n 5 "$runtime/dockerd.log" >&2
    die "dockerd does not start; its log is $runtime/dockerd.log"
}

if ! has_base_maker; then
    say "this will install, with apt: mmdebstrap (makes the base root filesystem of images)"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        mmdebstrap >/tmp/timeproof-engine-apt.log 2>&1 || die "apt-get install mmdebstrap failed"
fi
if answers && has_buildx; then exit 0; fi
if ! command -v dockerd >/dev/null 2>&1 || ! has_buildx; then install_packages; fi
configure
answers || start
has_buildx || die "the engine answers, but 'docker buildx' is missing: install the docker-buildx plugin"
say "ready: Docker Engine $(docker version --format '{{.Server.Version}}')"
