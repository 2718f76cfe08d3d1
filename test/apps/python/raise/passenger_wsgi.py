# Raises before it answers. What it says must be seen in the log only.
def application(environ, start_response):
    raise RuntimeError("a secret of the application")
