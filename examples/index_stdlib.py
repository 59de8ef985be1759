"""Index the identifiers of the running interpreter's standard library.

A plain program for `multiprocessing`: a pool tokenizes the files, each worker sends what it finds through a queue to one process that
builds the index, and the parent prints the summary. Files that do not tokenize are counted and named.

    python examples/index_stdlib.py [--workers N] [--method fork|spawn|forkserver] [--out INDEX.json] [DIRECTORY]
"""

import argparse
import collections
import hashlib
import json
import keyword
import multiprocessing
import os
import sys
import sysconfig
import time
import tokenize

queue = None  # in a worker: where its findings go


def source_files(top):
    """All Python files below `top`, but not what was installed beside the library."""
    for folder, subfolders, files in os.walk(top):
        subfolders[:] = sorted(set(subfolders) - {"site-packages", "__pycache__"})
        for name in sorted(files):
            if name.endswith(".py"):
                yield os.path.join(folder, name)


def start_worker(findings):
    """Runs first in each worker of the pool."""
    global queue
    queue = findings


def read_file(path):
    """Tokenize one file: its identifiers go to the index; its counts, or the error, are the result."""
    identifiers = collections.Counter()
    tokens = 0
    try:
        with tokenize.open(path) as file:
            lines = file.readlines()
        for token in tokenize.generate_tokens(iter(lines).__next__):
            tokens += 1
            if token.type == tokenize.NAME and not keyword.iskeyword(token.string):
                identifiers[token.string] += 1
    except (SyntaxError, UnicodeError, tokenize.TokenError) as error:
        return path, 0, 0, f"{type(error).__name__}: {error}"
    queue.put((path, dict(identifiers)))
    return path, len(lines), tokens, None


def build_index(findings, reply):
    """The index process: reads findings until the end mark, then sends back what it has built."""
    index = {}
    for path, identifiers in iter(findings.get, None):
        for name, count in identifiers.items():
            index.setdefault(name, {})[path] = count
    reply.send(index)
    reply.close()


def index_files(paths, method, workers):
    """Run the pool and the index process: (results of the files, the index)."""
    context = multiprocessing.get_context(method)
    findings = context.Queue()
    receiver, sender = context.Pipe(duplex=False)
    indexer = context.Process(target=build_index, args=(findings, sender), name="indexer")
    indexer.start()
    sender.close()
    with context.Pool(workers, start_worker, (findings,)) as pool:
        results = list(pool.imap_unordered(read_file, paths, chunksize=8))
        pool.close()
        pool.join()  # all that the workers put has been put
    findings.put(None)
    index = receiver.recv()
    indexer.join()
    return results, index


def summary(results, index):
    """What is printed, and what `--out` writes, is equal whenever the indexes are."""
    totals = {name: sum(where.values()) for name, where in index.items()}
    top = sorted(totals.items(), key=lambda item: (-item[1], item[0]))[:20]
    text = json.dumps(index, sort_keys=True)
    return {
        "files": len(results),
        "lines": sum(result[1] for result in results),
        "tokens": sum(result[2] for result in results),
        "identifiers": len(index),
        "failed": sorted([path, error] for path, _lines, _tokens, error in results if error),
        "top": top,
        "digest": hashlib.sha256(text.encode()).hexdigest(),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", nargs="?", default=sysconfig.get_paths()["stdlib"])
    parser.add_argument("--workers", type=int, default=None)
    parser.add_argument("--method", choices=multiprocessing.get_all_start_methods(), default=None)
    parser.add_argument("--out", help="write the summary and the time to this JSON file")
    options = parser.parse_args()
    began = time.perf_counter()
    paths = list(source_files(options.directory))
    if not paths:
        sys.exit(f"no Python files below {options.directory}")
    results, index = index_files(paths, options.method, options.workers)
    seconds = time.perf_counter() - began
    found = summary(results, index)
    print(
        f"{found['files']} files, {found['lines']} lines, {found['tokens']} tokens, {found['identifiers']} identifiers"
    )
    print(f"{len(found['failed'])} files do not tokenize" + (":" if found["failed"] else ""))
    for path, error in found["failed"]:
        print(f"  {os.path.relpath(path, options.directory)}: {error}")
    print("most used: " + ", ".join(f"{name} {count}" for name, count in found["top"]))
    print(f"index {found['digest'][:16]}, {seconds:.2f} s, {multiprocessing.__name__}")
    if options.out:
        with open(options.out, "w", encoding="utf-8") as file:
            json.dump({**found, "seconds": seconds}, file)


if __name__ == "__main__":
    main()
