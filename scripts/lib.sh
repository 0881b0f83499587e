# shellcheck shell=bash
# Set-up that scripts/test and scripts/demo share: system packages, Rust, vendored sources. Sourced, not run.
# Everything it says goes to standard error. It is quick when nothing is missing.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT" || exit 1

# The oldest Rust that builds this tree, as Cargo.toml says.
RUST_MIN=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)

say() { printf '%s\n' "$*" >&2; }
die() {
	say "error: $*"
	exit 1
}

# Tools of the system's administrator are not in everybody's PATH.
have() { PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null 2>&1; }

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif have sudo; then
		sudo "$@"
	else
		die "this needs root and there is no sudo; as root: $*"
	fi
}

# Runs a command with the services of newly installed packages kept off: nobody asked for a tor or a web server of the
# machine's own.
without_services() {
	local policy=/usr/sbin/policy-rc.d made='' status=0
	if [ ! -e $policy ]; then
		printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
		as_root chmod 755 $policy
		made=yes
	fi
	"$@" || status=$?
	if [ -n "$made" ]; then
		as_root rm -f $policy
	fi
	return $status
}

apt_install() {
	have apt-get || die "this machine has no apt-get; install what corresponds to: $*"
	say "installing: $*"
	if ! {
		as_root apt-get -q update &&
			without_services as_root env DEBIAN_FRONTEND=noninteractive \
				apt-get -q install -y --no-install-recommends --no-remove "$@"
	} >&2; then
		die "apt-get could not install: $*"
	fi
	if [ -d /run/systemd/system ]; then
		for service in tor nginx postgresql; do
			case " $* " in *" $service"*) as_root systemctl disable --quiet $service.service || true ;; esac
		done
	fi
}

# Debian packages that are missing for: core (pure Rust), all (the program), or tests (all, and what tests alone need).
# What tor's build needs stands in vendor/UPSTREAM.toml.
missing_packages() {
	have cc || echo gcc libc6-dev
	[ -e /etc/ssl/certs/ca-certificates.crt ] || echo ca-certificates
	[ "$1" != core ] || return 0
	if have python3; then scripts/vendor --packages; else echo python3; fi
	if ! have tor || ! have tor-gencert; then echo tor; fi
	have nginx || echo nginx-light
	[ "$1" = tests ] || return 0
	compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || echo postgresql
}

# version_at_least 1.96.0 1.95
version_at_least() { [ "$(printf '%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

rust_version() { cargo --version 2>/dev/null | cut -d ' ' -f 2; }

good_rust() {
	local version
	version=$(rust_version)
	[ -n "$version" ] && version_at_least "$version" "$RUST_MIN" &&
		cargo clippy --version >/dev/null 2>&1 && cargo fmt --version >/dev/null 2>&1
}

# Rust from PATH when it is new enough (rustup installs what rust-toolchain.toml names), else Debian's.
set_up_rust() {
	if ! good_rust && [ -x /usr/bin/cargo ]; then
		PATH=/usr/bin:$PATH
	fi
	if ! good_rust; then
		apt_install cargo-web rustc-web rust-web-clippy rustfmt-web
		PATH=/usr/bin:$PATH
		hash -r
		good_rust || die "Debian's cargo-web is older than $RUST_MIN; install Rust by rustup"
	fi
	export PATH
}

# set_up core|all|tests
set_up() {
	local missing
	# Twice on a bare machine: what the build needs is asked in Python.
	for _ in 1 2; do
		missing=$(missing_packages "$1" | xargs)
		[ -n "$missing" ] || break
		# shellcheck disable=SC2086 # a list of words
		apt_install $missing
	done
	set_up_rust
	say "cargo $(rust_version)"
	[ "$1" != core ] || return 0
	scripts/vendor >&2 || die "the pinned sources could not be fetched"
}
