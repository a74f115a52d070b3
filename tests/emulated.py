"""Runs the engine's tests as programs that this machine's compiler does not make, and says which fail unexpectedly.

python -m tests.emulated [aarch64] [musl]

* aarch64: by qemu. It needs a kernel from Linux 6.7 on, where a name space of users has its own register of what runs
  programs. Each test runs alone and has a limit of time, as some stand still in qemu.
* musl: with the C library of that name. Rust's own library is compiled for it, since Debian has none.

It needs root and `debootstrap`. Compilers, libraries and qemu come from Debian's unstable distribution, in
`target/emulated`.
"""

import argparse
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
HOME = ROOT / "target/emulated"
DEBIAN = HOME / "debian"
REGISTRY = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"), "registry")
PACKAGES = "cargo,rustc,ca-certificates"
# What a binary for aarch64 begins with, and who runs it: kept open, as the program has another root.
HEAD = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
LIMIT_S = 200
# Rust's library for musl takes an unwinder of this name. That of GCC asks glibc where code lies; that of LLVM does not,
# but was compiled with two checks of glibc's headers.
UNWINDER = r"""
apt-get install -y --no-install-recommends \
    "$(apt-cache pkgnames libunwind- | grep -E '^libunwind-[0-9]+-dev$' | sort -V | tail -n 1)"
mkdir -p /opt/unwinding
cd /opt/unwinding
cp /usr/lib/x86_64-linux-gnu/libunwind.a .
cat >checks.c <<END
#include <stdarg.h>
#include <stdio.h>
int __vfprintf_chk(FILE *f, int l, const char *s, va_list v) { return vfprintf(f, s, v); }
int __vsnprintf_chk(char *t, size_t n, int l, size_t m, const char *s, va_list v) { return vsnprintf(t, n, s, v); }
END
musl-gcc -c checks.c
ar r libunwind.a checks.o
"""


@dataclass(frozen=True)
class Kind:
    """What programs are made.

    Attributes:
        target: the compiler's name of it.
        packages: what Debian calls what is needed.
        settings: variables of the environment.
        options: what cargo is told.
        registered: by what the kernel is to run them, where it cannot by itself.
        prepare: a script that makes what there is no package of.
        known: by a pattern of names, why tests fail that would not on a real machine.
    """

    target: str
    packages: tuple
    settings: dict
    options: tuple = ()
    registered: str = ""
    prepare: str = ""
    known: dict = field(default_factory=dict)


KINDS = {
    "aarch64": Kind(
        target="aarch64-unknown-linux-gnu",
        packages=("gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "qemu-user", "libstd-rust-dev:arm64"),
        settings={
            "QEMU_LD_PREFIX": "/usr/aarch64-linux-gnu",
            "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER": "aarch64-linux-gnu-gcc",
        },
        options=("--offline",),
        registered=f":aarch64:M::{HEAD}:{MASK}:/usr/bin/qemu-aarch64:F",
        known={  # of qemu 11.1
            r"by_forkserver::|^forkserver::|forked|::fork": "qemu has a thread in each process, which is not copied",
            r"identity|own::|killed|permits|once_and|is_alive": "qemu makes up when a process began, for each thread",
            r"mask_of_a_thread": "qemu keeps the last real-time signals for itself",
            r"barrier|readers_are|campaign|examples|in_any_order|has_failed_ends": "slow: no end in the limit",
        },
    ),
    "musl": Kind(
        target="x86_64-unknown-linux-musl",
        packages=("gcc", "musl-tools", "rust-src"),
        settings={
            "RUSTC_BOOTSTRAP": "1",
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_LINKER": "musl-gcc",
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_RUSTFLAGS": (
                "-Clink-self-contained=no -Crelocation-model=static -L/opt/unwinding"
            ),
        },
        options=("-Zbuild-std=std,panic_unwind,test",),
        prepare=UNWINDER,
        known={r"^examples::": "cargo makes them for the machine itself"},
    ),
}


def inside(kind, *command, **options):
    """Run a command in the folder, where the kernel runs programs of a kind."""
    shared = ["/dev", "/proc", "/sys", REGISTRY, ROOT]
    places = [f"mkdir -p '{DEBIAN}{path}'; mount --rbind '{path}' '{DEBIAN}{path}'" for path in shared]
    register = [
        f"mount -t binfmt_misc none '{DEBIAN}/proc/sys/fs/binfmt_misc'",
        f"printf %s '{kind.registered}' > '{DEBIAN}/tmp/registered'",
        # A write from outside of the folder would look for qemu outside of it.
        f"chroot '{DEBIAN}' sh -c 'cat /tmp/registered > /proc/sys/fs/binfmt_misc/register'",
    ]
    script = [
        *places,
        *(register if kind.registered else ()),
        f"exec chroot '{DEBIAN}' sh -c 'cd \"$0\" && exec \"$@\"' '{ROOT}/crates/procession' \"$@\"",
    ]
    around = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec", "\n".join(script), "sh"]
    network = re.compile("(?i).*_proxy$|CARGO_(HTTP|NET)|SSL_CERT")
    settings = {
        **{name: value for name, value in os.environ.items() if network.match(name)},
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "CARGO_HOME": REGISTRY.parent,
        "CARGO_PROFILE_TEST_DEBUG": "0",
        **kind.settings,
    }
    return subprocess.run([*around, *command], env=settings, text=True, stdin=subprocess.DEVNULL, **options)


def install(*packages):
    """Install packages in the folder."""
    command = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    subprocess.run(["chroot", DEBIAN, *command], check=True)


def fetch(kind):
    """Make the folder with what a kind needs, as far as it is not there."""
    if not (HOME / "made").exists():
        HOME.mkdir(parents=True, exist_ok=True)
        subprocess.run(["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "sid", DEBIAN], check=True)
        for command in (["dpkg", "--add-architecture", "arm64"], ["apt-get", "update"]):
            subprocess.run(["chroot", DEBIAN, *command], check=True)
        (HOME / "made").touch()
    if not (HOME / f"made-{kind.target}").exists():
        install(*kind.packages)
        if kind.prepare:
            subprocess.run(["chroot", DEBIAN, "sh", "-ec", kind.prepare], check=True)
        (HOME / f"made-{kind.target}").touch()


def build(kind):
    """Build the tests; return the paths of their programs."""
    where = [f"--target-dir={HOME / 'programs'}", "--target", kind.target, *kind.options]
    built = inside(kind, "cargo", "test", "--no-run", *where, "--lib", "--test", "it", stderr=subprocess.PIPE)
    if built.returncode:
        sys.exit(built.stderr)
    return re.findall(r"^ *Executable .*\((\S+)\)$", built.stderr, re.MULTILINE)


def call(kind, *command, **options):
    """Run a command that was built: where it was, if this machine cannot run it by itself."""
    if kind.registered:
        return inside(kind, *command, **options)
    return subprocess.run(command, text=True, stdin=subprocess.DEVNULL, cwd=ROOT / "crates/procession", **options)


def run(kind, program):
    """Run each test of a program; return how many passed, and what the others say, by name."""
    listed = call(kind, program, "--list", stdout=subprocess.PIPE, check=True).stdout
    names = re.findall(r"^(\S+): test$", listed, re.MULTILINE)
    failed = {}
    for name in names:
        test = call(kind, "timeout", "-k1", str(LIMIT_S), program, "--exact", name, capture_output=True)
        if test.returncode:
            failed[name] = f"{test.stdout}\n{test.stderr}" if test.returncode != 124 else f"no end in {LIMIT_S} seconds"
    return len(names) - len(failed), failed


def reason(kind, name):
    """Return why a test is known to fail, or None."""
    return next((why for pattern, why in kind.known.items() if re.search(pattern, name)), None)


def main():
    """The command."""
    parser = argparse.ArgumentParser(prog="scripts/emulated", description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"{' or '.join(KINDS)}; default: all")
    unknown = []
    wanted = parser.parse_args().kinds or list(KINDS)
    if strange := set(wanted) - set(KINDS):
        parser.error(f"there are {', '.join(KINDS)}, not {', '.join(sorted(strange))}")
    for name in wanted:
        kind = KINDS[name]
        fetch(kind)
        for program in build(kind):
            passed, failed = run(kind, program)
            print(f"emulated: {name}, {Path(program).name}: {passed} passed, {len(failed)} failed", flush=True)
            for test, said in failed.items():
                print(f"  {test}: {reason(kind, test) or said}")
                unknown += [] if reason(kind, test) else [f"{name} {test}"]
    if unknown:
        sys.exit(f"emulated: not known to fail: {', '.join(unknown)}")


if __name__ == "__main__":
    main()
