"""Rule 8: platform words stand only in `_os/`, and in native/platform_*.c."""

from __future__ import annotations

import ast
import re

import pytest

from tests.architecture.sources import MODULES, ROOT, Module

# Attributes of `os`, `signal`, `sys`, `socket`, `select` that not every platform has, or that mean different things there.
WORDS = {
    "os": {
        "fork", "forkpty", "posix_spawn", "posix_spawnp", "pidfd_open", "memfd_create", "eventfd", "eventfd_read",
        "eventfd_write", "waitpid", "wait4", "waitid", "waitstatus_to_exitcode", "WNOHANG", "P_PIDFD", "sched_getaffinity",
        "sched_setaffinity", "killpg", "setsid", "getpgid", "uname", "register_at_fork", "process_cpu_count", "name",
        "kill",
    },
    "signal": {"pidfd_send_signal", "SIGKILL", "SIGSTOP", "SIGCONT", "SIGCHLD", "SIGUSR1", "SIGUSR2", "pthread_sigmask", "set_wakeup_fd"},
    "sys": {"platform", "getwindowsversion"},
    "socket": {"send_fds", "recv_fds", "SCM_RIGHTS", "SO_PEERCRED", "CMSG_LEN", "CMSG_SPACE"},
    "select": {"epoll", "kqueue"},
}  # fmt: skip
MODULES_OF_PLATFORMS = {
    "fcntl",
    "msvcrt",
    "_winapi",
    "winreg",
    "resource",
    "pwd",
    "grp",
    "termios",
    "posix",
    "nt",
    "_posixsubprocess",
}
PATHS = re.compile(r"/proc/|/dev/shm|/sys/")
LINUX_IN_C = re.compile(
    r"\b(SYS_\w+|__NR_\w+|FUTEX_\w+|syscall|memfd_create|MFD_\w+|gettid|sched_getcpu|linux/\w+\.h)\b"
)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.full_name)
def test_platform_words_stand_only_in_os(module: Module) -> None:
    if module.floor == "_os":
        return
    wrong = [
        f"{module.at(one.line)}: import {one.module}"
        for one in module.imports
        if one.module.partition(".")[0] in MODULES_OF_PLATFORMS
    ]
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in WORDS.get(node.value.id, ()):
                wrong.append(f"{module.at(node.lineno)}: {node.value.id}.{node.attr}")
        elif isinstance(node, ast.ImportFrom) and node.module in WORDS:
            wrong += [
                f"{module.at(node.lineno)}: from {node.module} import {alias.name}"
                for alias in node.names
                if alias.name in WORDS[node.module]
            ]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and PATHS.match(node.value):
            wrong.append(f"{module.at(node.lineno)}: {node.value!r}")
    assert not wrong, "\n".join(wrong)


def test_linux_words_stand_only_in_the_platform_files_of_the_core() -> None:
    wrong = []
    for path in sorted((ROOT / "native").glob("*.[ch]")):
        if path.name.startswith("platform_"):
            continue
        code = re.sub(
            r"/\*.*?\*/|//[^\n]*", lambda comment: "\n" * comment[0].count("\n"), path.read_text(), flags=re.DOTALL
        )
        for number, line in enumerate(code.splitlines(), 1):
            if found := LINUX_IN_C.search(line):
                wrong.append(f"native/{path.name}:{number}: {found[0]}")
    assert not wrong, "\n".join(wrong)
