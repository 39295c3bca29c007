#!/bin/sh
# Brings whatever this machine lacks to run Micronova and its tests; silent when nothing is missing.
#
#   tools/setup.sh [--also DEBIAN_PACKAGE...]
#
#   1. programs (QEMU and so on) from Debian packages, as root or by passwordless sudo; for root also
#      the system user that QEMU runs as
#   2. node_modules, exactly as package-lock.json says (this includes the right Node)
#   3. the guest image, built from Debian packages, kept in the cache directory:
#      $MICRONOVA_CACHE, else $XDG_CACHE_HOME/micronova, else ~/.cache/micronova, else .cache here
#
# --also installs further packages, such as clients that a test drives. Several setups at once are
# fine: one works, the others wait and find the work done.
set -eu
PATH=$PATH:/usr/sbin:/sbin
cd "$(dirname -- "$0")/.."
did_something=no

say() { echo "setup: $*"; did_something=yes; }
die() { echo "setup: $*" >&2; exit 1; }

also=
if [ "${1:-}" = --also ]; then shift; also=$*
elif [ $# -gt 0 ]; then die "unknown argument $1 (known: --also DEBIAN_PACKAGE...)"; fi

# --- where things are kept -----------------------------------------------------------------------
writable() { [ -n "$1" ] && mkdir -p "$1" 2>/dev/null && [ -w "$1" ]; }

# A build machine may set no HOME; the user may still have one.
if [ -z "${HOME:-}" ] && command -v getent > /dev/null; then HOME=$(getent passwd "$(id -u)" | cut -d : -f 6); fi
base=${XDG_CACHE_HOME:-${HOME:+$HOME/.cache}}
cache=${MICRONOVA_CACHE:-${base:+$base/micronova}}
if ! writable "$cache"; then
  [ -z "${MICRONOVA_CACHE:-}" ] || die "MICRONOVA_CACHE=$MICRONOVA_CACHE is not writable"
  cache=$PWD/.cache/micronova
  writable "$cache" || die "no writable cache directory: set MICRONOVA_CACHE"
fi
# npm keeps its downloads and logs in the home directory.
if [ -z "${HOME:-}" ] || [ ! -w "$HOME" ]; then HOME=$cache; fi
export HOME

# --- what is missing -----------------------------------------------------------------------------
# The image's name is the hash of what it is made from. The README is not in it.
guest=$cache/guest-$(find guest-image -type f ! -name '*.md' | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -c 1-16).qcow2

# package, a program or file that shows it is there, what for
for_running="\
qemu-system-x86 qemu-system-x86_64 runs the instances
qemu-utils qemu-img creates, converts and inspects disks
iproute2 ip makes the networks of guests
nftables nft keeps guests and networks apart
dnsmasq-base dnsmasq tells guests their addresses and names
passt pasta is the networks' way out where nobody is root
libatomic1 /usr/lib/*/libatomic.so.1 a library Node needs"
for_building="\
python3 python3 picks the guest image's drivers and libraries
e2fsprogs mke2fs makes the guest image's file system
fdisk sfdisk partitions the guest image
cpio cpio packs the guest image's initramfs
zstd zstd compresses the guest image's initramfs
mtools mcopy fills the guest image's boot partition
syslinux syslinux boots the guest image
syslinux-common /usr/lib/syslinux/mbr/mbr.bin boots the guest image
fakeroot fakeroot builds the guest image without being root"

missing=      # "package reason" a line
find_missing() {
  wanted=$for_running
  if [ ! -e "$guest" ]; then
    wanted="$wanted
$for_building"
  fi
  missing=
  # shellcheck disable=SC2086  # a sign that is a file may be a pattern
  while read -r package sign reason; do
    case $sign in
      /*) set -- $sign; [ ! -e "$1" ] || continue ;;
      *) ! command -v "$sign" > /dev/null || continue ;;
    esac
    missing="$missing$package $reason
"
  done << LIST
$wanted
LIST
  [ -n "$also" ] || return 0
  # shellcheck disable=SC2086  # a list
  installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $also 2>/dev/null || :)
  for package in $also; do
    case "
$installed
" in *"
installed $package
"*) continue ;; esac
    missing="$missing$package asked for by this command
"
  done
}

# node_modules is right when we made it from this very lock, or npm did and wrote so afterwards.
lock_hash() { sha256sum < package-lock.json; }
modules_ready() {
  [ -e node_modules/.package-lock.json ] || return 1
  [ ! package-lock.json -nt node_modules/.package-lock.json ] ||
    [ "$(cat node_modules/.setup-lock 2>/dev/null)" = "$(lock_hash)" ]
}

# Started by root, QEMU runs as a user of its own; started by anybody else, as that one.
qemu_user=micronova-qemu
user_ready() { [ "$(id -u)" != 0 ] || grep -q "^$qemu_user:" /etc/passwd; }

guest_ready() { [ -e "$guest" ] && [ "$cache/guest.qcow2" -ef "$guest" ]; }

find_missing
if [ -z "$missing" ] && user_ready && modules_ready && guest_ready; then exit 0; fi

# --- one at a time -------------------------------------------------------------------------------
if command -v flock > /dev/null; then
  exec 9> "$cache/setup.lock"
  flock 9
  find_missing
fi

log=$cache/setup.log.$$
trap 'rm -f "$log" "$guest.partial.$$"' EXIT
trap 'exit 130' INT TERM
# Runs a command whose output matters only when it fails.
quietly() { "$@" > "$log" 2>&1 9>&- || { tail -n 40 "$log" >&2; return 1; }; }

# --- 1. programs ---------------------------------------------------------------------------------
as_root() { if [ "$(id -u)" = 0 ]; then env "$@"; else sudo -n env "$@"; fi; }

if [ -n "$missing" ]; then
  packages=$(echo "$missing" | cut -d ' ' -f 1 | xargs)
  command -v apt-get > /dev/null ||
    die "please install what these Debian packages hold: $packages (no apt-get here to do it)"
  [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null ||
    die "please install these packages: $packages (I may not: not root, and no sudo without a password)"
  say "installing Debian packages:"
  echo "$missing" | while read -r package reason; do
    [ -z "$package" ] || printf '  %-16s %s\n' "$package" "$reason"
  done
  # Tests start a PostgreSQL of their own; a server that runs for ever is nobody's wish.
  case " $packages " in *" postgresql"*)
    [ -e /etc/postgresql-common ] || quietly as_root sh -c 'mkdir -p /etc/postgresql-common/createcluster.d &&
      echo "create_main_cluster = false" > /etc/postgresql-common/createcluster.d/micronova.conf' ;;
  esac
  quietly as_root apt-get -q -o Acquire::Retries=3 update || say "the package lists could not be refreshed, using the old ones"
  # shellcheck disable=SC2086  # a list
  quietly as_root DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 \
    install --no-install-recommends $packages || die "could not install: $packages"
fi

if ! user_ready; then
  say "adding the system user $qemu_user, whom QEMU runs as when root starts it"
  groups=; ! grep -q '^kvm:' /etc/group || groups='-G kvm'
  # shellcheck disable=SC2086  # an option and its value, or nothing
  quietly useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin $groups "$qemu_user" ||
    say "the user could not be added: QEMU will run as root"
fi

# --- 2. node_modules -----------------------------------------------------------------------------
if ! modules_ready; then
  command -v npm > /dev/null || die "npm is missing: install Node 20 or newer with npm"
  say "installing node_modules"
  # Under `npm run`, PATH begins with node_modules/.bin, whose node is about to be replaced.
  outer_path=$(echo "$PATH" | tr : '\n' | grep -v '/node_modules/' | paste -s -d : -)
  npm_ci() { quietly env PATH="$outer_path" timeout "$1" npm ci --no-audit --no-fund; }
  # npm has been seen to hang after its last download; the next try then takes seconds.
  npm_ci 300 || npm_ci 900 || die "npm ci failed"
  lock_hash > node_modules/.setup-lock
fi

# --- 3. the guest image --------------------------------------------------------------------------
if [ ! -e "$guest" ]; then
  say "building the guest image"
  quietly guest-image/build.sh -o "$guest.partial.$$" || die "the guest image could not be built"
  mv "$guest.partial.$$" "$guest"
fi
if ! guest_ready; then
  ln -s "${guest##*/}" "$cache/guest.link.$$"
  mv -f "$cache/guest.link.$$" "$cache/guest.qcow2"
fi
# Images of earlier versions; a day old, since another clone may be in use beside this one.
find "$cache" -maxdepth 1 -name 'guest-*.qcow2*' -mtime +0 ! -name "${guest##*/}" -exec rm -f {} +

# --- what we have ended up with ------------------------------------------------------------------
# KVM counts only with a processor that has it: some containers offer a /dev/kvm that cannot work.
if [ $did_something = yes ]; then
  if [ -w /dev/kvm ] && grep -q -w -E 'vmx|svm' /proc/cpuinfo; then say "ready; instances run on KVM"
  elif [ -e /dev/kvm ] && grep -q -w -E 'vmx|svm' /proc/cpuinfo; then
    say "ready; instances run in software emulation (no access to /dev/kvm: are you in the group kvm?)"
  else say "ready; instances run in software emulation (this machine offers no KVM)"; fi
fi
