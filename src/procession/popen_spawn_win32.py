"""Starting processes on Windows, under the standard library's module name: nothing is here on other systems."""

__all__: list[str] = []
