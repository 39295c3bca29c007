#!/bin/bash
# Builds the test guest: a Linux of 19 MiB that boots in seconds even under software emulation.
# Everything comes out of Debian packages; no root, no loop device, no mount: ext4 is filled by
# `mke2fs -d`, the boot partition by mtools. What the guest does is in rootfs/ and initramfs/.
#
#   build.sh [-o OUT.qcow2] [-w WORK_DIR]
#
# -w keeps the working files (and the downloaded packages, for the next build). Same packages and
# same files give the same image.
set -euo pipefail
umask 022
export PATH=$PATH:/usr/sbin:/sbin LC_ALL=C SOURCE_DATE_EPOCH=1700000000

die() { echo "guest-image: $*" >&2; exit 1; }

# --- arguments -----------------------------------------------------------------------------------
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=guest.qcow2 work=''
arguments=("$@")
while [ $# -gt 0 ]; do
  case $1 in
    -o) out=$2; shift 2 ;;
    -w) work=$2; shift 2 ;;
    *) die "unknown argument $1 (known: -o OUT.qcow2, -w WORK_DIR)" ;;
  esac
done
[ "$(uname -m)" = x86_64 ] || die "only built on and for x86_64, this is $(uname -m)"
missing=
for tool in apt-get dpkg-deb mke2fs sfdisk cpio zstd mformat mcopy syslinux qemu-img python3; do
  command -v $tool > /dev/null || missing="$missing $tool"
done
[ -e /usr/lib/syslinux/mbr/mbr.bin ] || missing="$missing syslinux-common"
[ -z "$missing" ] || die "not installed:$missing"

# Files in the image belong to root: when we are not, fakeroot pretends.
if [ "$(id -u)" != 0 ]; then
  command -v fakeroot > /dev/null || die "not installed: fakeroot (needed unless run as root)"
  exec fakeroot -- "$0" ${arguments+"${arguments[@]}"}
fi

out=$(realpath -m "$out")
if [ -z "$work" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
fi
mkdir -p "$work/debs"
work=$(realpath "$work")

# --- Debian packages, downloaded and unpacked ----------------------------------------------------
# Without the system's package lists (a slim container, an ordinary user) we fetch our own.
apt_options=(-o APT::Sandbox::User=root -o Debug::NoLocking=1)
if ! apt-cache show busybox-static > /dev/null 2>&1; then
  mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial"
  apt_options+=(-o "Dir::State::lists=$work/apt/lists" -o "Dir::Cache=$work/apt/cache")
  apt-get -qq "${apt_options[@]}" update || die "cannot read Debian's package lists"
fi

# Newer Debian renamed some libraries: the first name that exists is meant.
first_of() {
  local name
  for name; do
    if apt-cache "${apt_options[@]}" show "$name" > /dev/null 2>&1; then echo "$name"; return; fi
  done
  die "no such Debian package: $*"
}
kernel_package=$(apt-cache "${apt_options[@]}" depends linux-image-cloud-amd64 2> /dev/null |
  awk '/Depends: linux-image/ { print $2; exit }')
[ -n "$kernel_package" ] || die "no package linux-image-cloud-amd64 here: the guest is made from Debian's"
packages=("$kernel_package" busybox-static libc6
  e2fsprogs libcom-err2 libblkid1 libuuid1 "$(first_of libext2fs2 libext2fs2t64)"
  dropbear-bin libcrypt1 zlib1g libtomcrypt1 libtommath1 libgmp10
  qemu-guest-agent "$(first_of libglib2.0-0 libglib2.0-0t64)" libpcre2-8-0 libudev1 liburing2 libnuma1 libgcc-s1)
wanted=()
for package in "${packages[@]}"; do
  compgen -G "$work/debs/${package}_*.deb" > /dev/null || wanted+=("$package")
done
if [ ${#wanted[@]} -gt 0 ]; then
  (cd "$work/debs" && apt-get -qq "${apt_options[@]}" download "${wanted[@]}") || die "cannot download: ${wanted[*]}"
fi
debian=$work/debian
rm -rf "$debian"
mkdir "$debian"
for package in "${packages[@]}"; do dpkg-deb -x "$work/debs/${package}"_*.deb "$debian"; done
busybox=$(find "$debian" -name busybox -type f -perm -100 | head -n 1)
kernel=$(find "$debian/boot" -name 'vmlinuz-*')
modules=$debian/lib/modules/${kernel##*/vmlinuz-}
[ -d "$modules" ] || modules=$debian/usr/lib/modules/${kernel##*/vmlinuz-}

# --- initramfs -----------------------------------------------------------------------------------
initramfs=$work/initramfs
rm -rf "$initramfs"
mkdir -p "$initramfs"/{bin,dev,proc,sys,root}
cp "$HERE/initramfs/init" "$initramfs/init"
chmod 755 "$initramfs/init"
cp "$busybox" "$initramfs/bin/busybox"
for applet in sh mount insmod ls usleep printf dd blockdev switch_root; do ln -s busybox "$initramfs/bin/$applet"; done
"$HERE/copy_modules.py" "$modules" "$initramfs/modules/virtio" virtio_pci virtio_blk ext4
"$HERE/copy_modules.py" "$modules" "$initramfs/modules/scsi" virtio_scsi sd_mod -- "$initramfs/modules/virtio"
find "$initramfs" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
(cd "$initramfs" && find . | sort | cpio --quiet --reproducible -o -H newc) | zstd -q -19 > "$work/initrd.img"

# --- root file system ----------------------------------------------------------------------------
root=$work/root
rm -rf "$root"
mkdir -p "$root"/{bin,sbin,usr/bin,usr/sbin,dev,proc,sys,run,tmp,mnt,home,root/.ssh,etc/dropbear,var/lib/cloud,var/log}
cp -R "$HERE/rootfs/." "$root"
ln -s /run "$root/var/run"
find "$root/etc" "$root/lib" "$root/usr" -type f -exec chmod 644 {} +
chmod 755 "$root"/etc/init.d/* "$root"/etc/acpi/PWRF/* "$root/usr/sbin/chpasswd"
chmod 600 "$root/etc/shadow"
chmod 700 "$root/root" "$root/root/.ssh"
chmod 1777 "$root/tmp"

cp "$busybox" "$root/bin/busybox"
for applet in $("$busybox" --list); do
  case $applet in
    busybox) ;;
    init | getty | halt | poweroff | reboot | acpid | mdev | udhcpc | insmod) ln -s /bin/busybox "$root/sbin/$applet" ;;
    *) ln -s /bin/busybox "$root/bin/$applet" ;;
  esac
done

"$HERE/copy_programs.py" "$debian" "$root" /sbin/resize2fs /usr/sbin/dropbear /usr/sbin/qemu-ga

# Drivers by when they are loaded: at boot, when a config drive or a CD needs them, or last.
copy_drivers() { # GROUP MODULE...
  local group=$1 earlier=("$initramfs"/modules/*)
  shift
  case $group in
    boot) ;;
    cdrom) earlier=("$initramfs/modules/virtio" "$root/lib/tinyguest/modules/boot") ;;   # SCSI may not be loaded
    *) earlier+=("$root/lib/tinyguest/modules/boot") ;;
  esac
  "$HERE/copy_modules.py" "$modules" "$root/lib/tinyguest/modules/$group" "$@" -- "${earlier[@]}"
}
copy_drivers boot virtio_net button evdev
copy_drivers config-drive isofs
copy_drivers vfat vfat nls_cp437 nls_ascii nls_iso8859_1
copy_drivers cdrom ata_piix sr_mod
copy_drivers guest-agent virtio_console
copy_drivers late virtio_rng virtio_balloon virtio_console
find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

# --- disk: boot sector, FAT partition with the kernel, ext4 partition with the root ------------------
# The root comes last so that it can grow with the disk. Sizes are in sectors of 512 bytes.
boot_start=2048 boot_size=$((24 * 2048)) root_size=$((64 * 2048))
root_start=$((boot_start + boot_size))
disk=$work/disk.raw
rm -f "$disk"
truncate -s $(((root_start + root_size) * 512)) "$disk"
sfdisk -q "$disk" << TABLE
label: dos
label-id: 0x7e57c10d
$boot_start,$boot_size,c,*
$root_start,$root_size,83
TABLE
dd if=/usr/lib/syslinux/mbr/mbr.bin of="$disk" bs=440 count=1 conv=notrunc status=none

boot="$disk@@$((boot_start * 512))"
mformat -i "$boot" -T $boot_size -h 16 -s 63 -N 7e57c10d ::
cp "$HERE/boot/syslinux.cfg" "$work/syslinux.cfg"
touch -d "@$SOURCE_DATE_EPOCH" "$kernel" "$work/initrd.img" "$work/syslinux.cfg"
mcopy -m -i "$boot" "$kernel" ::/vmlinuz
mcopy -m -i "$boot" "$work/initrd.img" ::/initrd.img
mcopy -m -i "$boot" "$work/syslinux.cfg" ::/syslinux.cfg
syslinux --install --offset $((boot_start * 512)) "$disk"

# resize= leaves room in the tables for growing on-line up to 100 GiB.
E2FSPROGS_FAKE_TIME=$SOURCE_DATE_EPOCH mke2fs -q -F -t ext4 -b 4096 -m 0 -J size=4 -L tinyroot \
  -U 7e57c10d-0000-4000-8000-000000000001 -O ^metadata_csum_seed,^orphan_file \
  -E offset=$((root_start * 512)),resize=26843545,lazy_itable_init=1,lazy_journal_init=1,hash_seed=7e57c10d-0000-4000-8000-000000000002 \
  -d "$root" "$disk" $((root_size / 2))k

# --- the image -----------------------------------------------------------------------------------
mkdir -p "$(dirname "$out")"
rm -f "$out"
qemu-img convert -c -O qcow2 -o compression_type=zstd "$disk" "$out"
echo "$out: $(du -k "$out" | awk '{ printf "%.1f", $1 / 1024 }') MiB, ${kernel##*/vmlinuz-}"
