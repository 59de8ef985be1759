"""aiomultiprocess: coroutines in workers."""

import way
import asyncio

import aiomultiprocess


async def square(number):
    await asyncio.sleep(0)
    return number * number


async def fail():
    raise ValueError("told")


async def work():
    async with aiomultiprocess.Pool(processes=2) as pool:
        assert await pool.map(square, range(30)) == [n * n for n in range(30)]
        assert await pool.apply(square, (7,)) == 49
        try:
            await pool.apply(fail)
        except aiomultiprocess.types.ProxyException as error:
            assert "told" in str(error)
        else:
            raise AssertionError("no error")
    process = aiomultiprocess.Worker(target=square, args=(6,))
    process.start()
    assert await process.join(30) == 36


def main():
    aiomultiprocess.set_start_method(way.METHOD)
    asyncio.run(work())
    way.check()


if __name__ == "__main__":
    main()
