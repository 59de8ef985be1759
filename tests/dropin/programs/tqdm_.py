"""tqdm: over a pool's results, and process_map."""

import way
import io
import multiprocessing

from tqdm import tqdm
from tqdm.contrib.concurrent import process_map


def square(number):
    return number * number


def main():
    multiprocessing.set_start_method(way.METHOD)
    screen = io.StringIO()
    with way.context().Pool(2, initializer=tqdm.set_lock, initargs=(tqdm.get_lock().mp_lock,)) as pool:
        assert list(tqdm(pool.imap(square, range(40)), total=40, file=screen)) == [n * n for n in range(40)]
    assert "40/40" in screen.getvalue()
    assert process_map(square, range(40), max_workers=2, chunksize=4, file=screen) == [n * n for n in range(40)]
    way.check()


if __name__ == "__main__":
    main()
