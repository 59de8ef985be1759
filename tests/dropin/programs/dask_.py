"""dask: the multiprocessing scheduler."""

import way
import dask
import dask.bag


def main():
    with dask.config.set({"multiprocessing.context": way.METHOD, "num_workers": 2}):
        bag = dask.bag.from_sequence(range(1000), npartitions=4)
        assert bag.map(lambda n: n * 2).filter(lambda n: n % 3 == 0).sum().compute(scheduler="processes") == sum(
            n * 2 for n in range(1000) if n * 2 % 3 == 0
        )
    way.check()


if __name__ == "__main__":
    main()
