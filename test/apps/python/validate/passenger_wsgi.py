# wsgiref.validate around the application whose name is in $VALIDATE (echo): it raises when server
# or application break PEP 3333.
import importlib.util
import os
from wsgiref.validate import validator

path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", os.environ.get("VALIDATE", "echo"), "passenger_wsgi.py")
spec = importlib.util.spec_from_file_location("validated", path)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
application = validator(module.application)
