# Stands before the real one in the path, so that asyncio's own loop is tested too.
raise ImportError("no uvloop here")
