"""Runs inside the prefix, under the interpreter whose suite it is: lists the test classes, or runs one of them.

    driver.py list METHOD RESULTS                     one line {"module", "class", "tests"} for each class
    driver.py run MODULE CLASS RESULTS TEST...        one line for each event: start, result, fixture, end

RESULTS is opened for each line and closed again: an open descriptor of ours would be seen by the tests that count them.
Standard library only, and none of ours: it must behave like any program that is run on the target.
"""

import faulthandler
import importlib
import json
import os
import pkgutil
import sys
import time
import traceback
import unittest

PREFIXES = {"fork": "Fork", "spawn": "Spawn", "forkserver": "ForkServer"}


def write(results, **event):
    """Append one event. One write: a reader never sees half a line."""
    line = json.dumps(event).encode() + b"\n"
    file = os.open(results, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC)
    try:
        os.write(file, line)
    finally:
        os.close(file)


def modules_of(method):
    """The names of the suite's modules for `method`: one before 3.12, a package of several since."""
    name = "test.test_multiprocessing_" + method
    package = importlib.import_module(name)
    if not hasattr(package, "__path__"):
        return [name]
    return [f"{name}.{m.name}" for m in pkgutil.iter_modules(package.__path__) if m.name.startswith("test_")]


def classes_of(module):
    """The test classes that `module` defines, by name."""
    return {
        name: value
        for name, value in vars(importlib.import_module(module)).items()
        if isinstance(value, type) and issubclass(value, unittest.TestCase) and value.__module__ == module
    }


def list_classes(method, results):
    found = [(module, name, case) for module in modules_of(method) for name, case in classes_of(module).items()]
    main_handling = "test.test_multiprocessing_main_handling"
    name = PREFIXES[method] + "CmdLineTest"
    found.append((main_handling, name, classes_of(main_handling)[name]))
    for module, name, case in found:
        tests = unittest.defaultTestLoader.getTestCaseNames(case)
        if tests:
            write(results, **{"module": module, "class": name, "tests": list(tests)})
    write(results, event="end")


class Recorder(unittest.TestResult):
    """Writes what happens to each test as it happens, so that a test that hangs or crashes is known by name."""

    def __init__(self, results):
        super().__init__()
        self.results, self.pid = results, os.getpid()
        self.status, self.detail, self.began = None, "", 0.0

    def write(self, **event):
        if os.getpid() == self.pid:  # a forked child that runs into our code is not the test
            write(self.results, **event)

    def startTest(self, test):
        super().startTest(test)
        self.status, self.detail, self.began = None, "", time.monotonic()
        self.write(event="start", test=test._testMethodName)

    def stopTest(self, test):
        super().stopTest(test)
        seconds = round(time.monotonic() - self.began, 3)
        status = self.status or "error"
        self.write(
            event="result",
            test=test._testMethodName,
            status=status,
            detail=self.detail,
            seconds=seconds,
        )

    def note(self, test, status, detail=""):
        if not isinstance(getattr(test, "_testMethodName", None), str):  # setUpClass, tearDownModule, ...
            self.write(event="fixture", test=test.id().split(" ")[0], status=status, detail=detail[-4000:])
        elif self.status not in ("fail", "error"):
            self.status, self.detail = status, detail[-4000:]

    def addSuccess(self, test):
        self.note(test, "ok")

    def addSkip(self, test, reason):
        self.note(test, "skip", reason)

    def addFailure(self, test, err):
        self.note(test, "fail", "".join(traceback.format_exception(*err)))

    def addError(self, test, err):
        self.note(test, "error", "".join(traceback.format_exception(*err)))

    def addExpectedFailure(self, test, err):
        self.note(test, "ok")

    def addUnexpectedSuccess(self, test):
        self.note(test, "fail", "unexpected success")

    def addSubTest(self, test, subtest, err):
        if err is not None:
            failed = issubclass(err[0], test.failureException)
            self.note(
                test,
                "fail" if failed else "error",
                f"{subtest}\n" + "".join(traceback.format_exception(*err)),
            )


def run_class(module, name, results, tests):
    case = getattr(importlib.import_module(module), name)
    unittest.TestSuite([unittest.TestSuite(map(case, tests))]).run(Recorder(results))
    from test import support

    write(results, event="end", altered=bool(support.environment_altered))


if __name__ == "__main__":
    faulthandler.enable()
    job, *arguments = sys.argv[1:]
    del sys.argv[1:]
    if job == "list":
        list_classes(*arguments)
    else:
        run_class(*arguments[:3], arguments[3:])
