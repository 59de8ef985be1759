"""Starting processes on Windows, under the standard library's module name: nothing is here for other systems."""

raise ImportError("procession.popen_spawn_win32 is for Windows only")
