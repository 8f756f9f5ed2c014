# SPDX-License-Identifier: Apache-2.0
"""A virtual machine whose disk is this machine's, read-only, and whose first process is systemd.

The guest's root is an overlay: a 9p export of `/` below, memory above. Nothing that it writes
reaches the host. It needs the packages of REQUIREMENTS and a kernel image with its modules; it
is emulated, as many machines of continuous integration have no usable /dev/kvm, and boots in less
than a minute.
"""

import gzip
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

QEMU = "qemu-system-x86_64"
_BUSYBOX = Path("/bin/busybox")
_MODULES = (  # what the guest's root needs, each after those that it needs itself
    *("virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci"),
    *("netfs", "fscache", "9pnet", "9pnet_virtio", "9p", "overlay"),
)
# Units that look at the whole disk, or wait for devices, do nothing here but take time.
_IDLE = (
    *("tmpfiles-setup", "tmpfiles-setup-dev", "journal-flush"),
    *("udev-trigger", "udevd", "random-seed"),
)
_SYSTEMD = " ".join(
    ["systemd.unit=guest.target", *(f"systemd.mask=systemd-{name}.service" for name in _IDLE)]
)
_INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mkdir -p /proc /low /high /disk
mount -t proc proc /proc
for module in %s; do insmod /$module.ko 2>/dev/null; done
mount -t 9p -o trans=virtio,version=9p2000.L,ro host /low
mount -t tmpfs memory /high
mkdir /high/upper /high/work
mount -t overlay -o lowerdir=/low,upperdir=/high/upper,workdir=/high/work root /disk
cp -a /overlay/. /disk
# systemd takes this for a container otherwise.
cd /disk && rm -f .dockerenv run/.containerenv
exec switch_root /disk /lib/systemd/systemd
"""
_TARGET = """[Unit]
Requires=basic.target
After=basic.target
Wants=guest.service
"""
_SERVICE = """[Unit]
After=basic.target
[Service]
Type=oneshot
ExecStart=%s
ExecStopPost=/bin/systemctl --force --force poweroff
StandardInput=null
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
"""


def missing() -> str:
    """What is not installed, "" if nothing is."""
    if shutil.which(QEMU) is None:
        return QEMU
    if not _BUSYBOX.exists():
        return "busybox-static"
    if not Path("/lib/systemd/systemd").exists():
        return "systemd"
    return "" if _kernel() else "a kernel image with its modules (linux-image-amd64)"


def run(command: str, folder: Path, timeout: float) -> str:
    """Boot, run a command as a service of systemd, power off; what the console showed."""
    kernel = _kernel()
    assert kernel
    initrd = folder / "initrd.gz"
    initrd.write_bytes(gzip.compress(_cpio(_files(kernel, command)), 1))
    done = subprocess.run(
        [
            *(QEMU, "-accel", "tcg,thread=multi", "-m", "6144", "-smp", "2"),
            *("-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio"),
            *("-kernel", kernel, "-initrd", initrd),
            *("-append", f"console=ttyS0 quiet panic=-1 no_timer_check rdinit=/init {_SYSTEMD}"),
            *(
                "-virtfs",
                "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap",
            ),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
    )
    return done.stdout + done.stderr


def _kernel() -> Path | None:
    """The newest kernel with the modules that are needed."""
    images = sorted(Path("/boot").glob("vmlinuz-*"), reverse=True)
    return next((image for image in images if len(list(_modules(image))) > 5), None)


def _modules(kernel: Path) -> Iterator[Path]:
    """Those that are not built into it."""
    tree = Path("/lib/modules") / kernel.name.removeprefix("vmlinuz-")
    for name in _MODULES:
        yield from tree.rglob(f"{name}.ko")


def _files(kernel: Path, command: str) -> dict[str, bytes]:
    system = "overlay/etc/systemd/system"
    return {
        "init": (_INIT % " ".join(_MODULES)).encode(),
        "bin/busybox": _BUSYBOX.read_bytes(),
        **{path.name: path.read_bytes() for path in _modules(kernel)},
        "overlay/etc/fstab": b"",
        f"{system}/guest.target": _TARGET.encode(),
        f"{system}/guest.service": (_SERVICE % command).encode(),
    }


def _cpio(files: dict[str, bytes]) -> bytes:
    """An archive in the format `newc` (initramfs-buffer-format of the kernel's documentation)."""
    folders = sorted({str(parent) for name in files for parent in Path(name).parents} - {"."})
    entries = [(name, 0o040755, b"") for name in folders]
    entries += [(name, 0o100755, content) for name, content in files.items()]
    packed = b""
    for number, (name, mode, content) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08x" % field for field in fields)
        packed += _padded(head + os.fsencode(name) + b"\0") + _padded(content)
    return packed


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
