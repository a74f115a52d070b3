"""Runs the engine's tests as a program for aarch64, by qemu, and says which fail that are not known to.

python -m tests.emulated

It needs root, `debootstrap` and a kernel from Linux 6.7 on, where a name space of users has its own register of what
runs programs. Compiler, library and qemu come from Debian's unstable distribution, in `target/emulated`. Each test runs
alone and has a limit of time, as some stand still in qemu.
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
HOME = ROOT / "target/emulated"
DEBIAN = HOME / "debian"
REGISTRY = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"), "registry")
TARGET = "aarch64-unknown-linux-gnu"
PACKAGES = "cargo,rustc,gcc-aarch64-linux-gnu,libc6-dev-arm64-cross,qemu-user,ca-certificates"
# What a binary for aarch64 begins with, and who runs it: kept open, as the program has another root.
HEAD = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
REGISTERED = f":aarch64:M::{HEAD}:{MASK}:/usr/bin/qemu-aarch64:F"
LIMIT_S = 200
# Tests that fail in qemu 11.1, and why: none of it is so on a machine of that kind.
KNOWN = {
    r"by_forkserver::|^forkserver::|forked|::fork": "qemu has a thread of its own in each process: it is not copied",
    r"identity|own::|killed|permits|once_and|is_alive": "qemu makes up for each thread anew when its process began",
    r"mask_of_a_thread": "qemu keeps the last real-time signals for itself",
    r"barrier|readers_are|campaign|examples|in_any_order|has_failed_ends": "slow: no end in the limit",
}


def inside(*command, **options):
    """Run a command in the folder, where the kernel has qemu run programs for aarch64."""
    shared = ["/dev", "/proc", "/sys", REGISTRY, ROOT]
    places = [f"mkdir -p '{DEBIAN}{path}'; mount --rbind '{path}' '{DEBIAN}{path}'" for path in shared]
    script = [
        *places,
        f"mount -t binfmt_misc none '{DEBIAN}/proc/sys/fs/binfmt_misc'",
        f"printf %s '{REGISTERED}' > '{DEBIAN}/tmp/registered'",
        # A write from outside of the folder would look for qemu outside of it.
        f"chroot '{DEBIAN}' sh -c 'cat /tmp/registered > /proc/sys/fs/binfmt_misc/register'",
        f"exec chroot '{DEBIAN}' sh -c 'cd \"$0\" && exec \"$@\"' '{ROOT}/crates/procession' \"$@\"",
    ]
    around = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec", "\n".join(script), "sh"]
    settings = {
        "PATH": "/usr/bin:/bin",
        "HOME": "/root",
        "CARGO_HOME": REGISTRY.parent,
        "QEMU_LD_PREFIX": "/usr/aarch64-linux-gnu",
        "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER": "aarch64-linux-gnu-gcc",
        "CARGO_PROFILE_TEST_DEBUG": "0",
    }
    return subprocess.run([*around, *command], env=settings, text=True, stdin=subprocess.DEVNULL, **options)


def fetch():
    """Make the folder, unless it is there."""
    if (HOME / "made").exists():
        return
    HOME.mkdir(parents=True, exist_ok=True)
    subprocess.run(["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "sid", DEBIAN], check=True)
    for command in (["dpkg", "--add-architecture", "arm64"], ["apt-get", "update"]):
        subprocess.run(["chroot", DEBIAN, *command], check=True)
    library = ["apt-get", "install", "-y", "--no-install-recommends", "libstd-rust-dev:arm64"]
    subprocess.run(["chroot", DEBIAN, *library], check=True)
    (HOME / "made").touch()


def build():
    """Build the tests; return the paths of their programs."""
    where = f"--target-dir={HOME / 'programs'}"
    command = ["cargo", "test", "--offline", "--no-run", where, "--target", TARGET, "--lib", "--test", "it"]
    built = inside(*command, stderr=subprocess.PIPE)
    if built.returncode:
        sys.exit(built.stderr)
    return re.findall(r"^ *Executable .*\((\S+)\)$", built.stderr, re.MULTILINE)


def run(program):
    """Run each test of a program; return how many passed, and what the others say, by name."""
    listed = inside(program, "--list", stdout=subprocess.PIPE, check=True).stdout
    names = re.findall(r"^(\S+): test$", listed, re.MULTILINE)
    failed = {}
    for name in names:
        test = inside("timeout", "-k1", str(LIMIT_S), program, "--exact", name, capture_output=True)
        if test.returncode:
            failed[name] = f"{test.stdout}\n{test.stderr}" if test.returncode != 124 else f"no end in {LIMIT_S} seconds"
    return len(names) - len(failed), failed


def reason(name):
    """Return why a test is known to fail in qemu, or None."""
    return next((why for pattern, why in KNOWN.items() if re.search(pattern, name)), None)


def main():
    """The command."""
    parser = argparse.ArgumentParser(prog="scripts/emulated", description=__doc__.splitlines()[0])
    parser.parse_args()
    fetch()
    unknown = []
    for program in build():
        passed, failed = run(program)
        print(f"emulated: {Path(program).name}: {passed} passed, {len(failed)} failed", flush=True)
        for name, said in failed.items():
            print(f"  {name}: {reason(name) or said}")
            unknown += [] if reason(name) else [name]
    if unknown:
        sys.exit(f"emulated: not known to fail: {', '.join(unknown)}")


if __name__ == "__main__":
    main()
